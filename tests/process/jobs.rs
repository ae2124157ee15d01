//! Worker processes that are killed, suspended or stopped, and the command line for jobs.

use std::path::Path;
use std::time::{Duration, Instant};

use idlewatt::store::embedded::running;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::config::Host;

use crate::program::{Folder, Program, run};

const SECRET: &str = "a secret of the tests, long enough to sign with";
const ADMIN_TOKEN: &str = "operators-token-of-the-tests";
/// How long a condition may take before the test fails.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A server that runs no jobs, and its database, to which workers connect.
struct Setup {
    api: Program,
    database: tokio_postgres::Config,
    folder: Folder,
}

impl Setup {
    async fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let settings = [
            ("DATA_DIR", text(folder.path())),
            ("ROLE", "api"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("DRAIN_DELAY_SECONDS", "0"),
        ];
        let api = Program::start(&settings);
        let database = running(folder.path()).await.expect("the server runs a database");
        Self { api, database, folder }
    }

    fn url(&self) -> String {
        let Some(Host::Unix(sockets)) = self.database.get_hosts().first() else {
            panic!("a socket");
        };
        format!("postgres:///idlewatt?user=idlewatt&host={}", text(sockets))
    }

    fn worker(&self) -> Program {
        Program::start(&[
            ("DATABASE_URL", &self.url()),
            ("JWT_SECRET", SECRET),
            ("ROLE", "worker"),
            ("JOB_LEASE_SECONDS", "2"),
            ("DRAIN_DELAY_SECONDS", "0"),
        ])
    }

    async fn connect(&self) -> Client {
        let connected = self.database.connect(tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("connected");
        tokio::spawn(connection);
        client
    }

    /// Runs `idlewatt jobs`, and returns whether it succeeded and what it printed.
    fn jobs(&self, arguments: &[&str]) -> (bool, String) {
        // The server runs the database of this folder, and the command connects to it.
        let settings = [("DATA_DIR", text(self.folder.path()))];
        let output = run(&[&["jobs"], arguments].concat(), &settings);
        let message = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.success(), message)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Waits until a query, which returns one text, returns `expected`.
async fn until_query_returns(database: &Client, query: &str, expected: &str) {
    let started = Instant::now();
    loop {
        let row = database.query_opt(query, &[]).await.expect(query);
        let found = row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default();
        if found == expected {
            return;
        }
        assert!(started.elapsed() < TIMEOUT, "{query}: {found} is not {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const PURGE: &str = "select status from jobs where unique_key = 'the test''s'";
const WORKER: &str = "select split_part(worker, '-', 1) from jobs where unique_key = 'the test''s'";
const ATTEMPT: &str = "select attempt::text from jobs where unique_key = 'the test''s'";
const EXPIRED: &str = "select count(*)::text from sessions where chain_key = 'expired'";

/// Inserts ten expired sessions, which the job is to purge.
async fn insert_expired_sessions(database: &Client) {
    database
        .batch_execute(
            "insert into sessions (
                 player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at
             )
             select gen_random_uuid(), gen_random_uuid(), 'expired', 'none', now(), now(), '2000-01-01'
             from generate_series(1, 10)",
        )
        .await
        .expect("inserted");
}

/// Enqueues the job that purges.
async fn enqueue_purge(database: &Client) {
    database
        .batch_execute(
            "insert into jobs (job_id, kind, unique_key, run_after, max_attempts, created_at)
             values (gen_random_uuid(), 'purge_sessions', 'the test''s', now(), 8, now());",
        )
        .await
        .expect("enqueued");
}

/// Waits until the jobs of the worker's schedules have finished, so that only the job of the test remains.
async fn finish_scheduled_jobs(database: &Client) {
    let open = "select count(*)::text from jobs where status in ('queued', 'running')";
    until_query_returns(database, "select (count(*) >= 6)::text from jobs", "true").await;
    until_query_returns(database, open, "0").await;
}

/// Begins a transaction whose lock blocks the purge.
async fn lock_sessions(database: &Client) {
    database.batch_execute("begin; lock table sessions in share mode").await.expect("locked");
}

async fn unlock_sessions(database: &Client) {
    database.batch_execute("rollback").await.expect("rolled back");
}

#[tokio::test]
async fn the_job_of_a_killed_worker_is_taken_over() {
    let setup = Setup::new("job-killed").await;
    let (database, locker) = (setup.connect().await, setup.connect().await);
    let worker = setup.worker();
    finish_scheduled_jobs(&database).await;
    insert_expired_sessions(&database).await;
    lock_sessions(&locker).await;
    enqueue_purge(&database).await;
    until_query_returns(&database, PURGE, "running").await;
    until_query_returns(&database, WORKER, &worker.pid().to_string()).await;
    worker.signal("KILL");
    let other = setup.worker();
    unlock_sessions(&locker).await;
    until_query_returns(&database, PURGE, "done").await;
    until_query_returns(&database, WORKER, &other.pid().to_string()).await;
    until_query_returns(&database, ATTEMPT, "2").await;
    until_query_returns(&database, EXPIRED, "0").await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_while_suspended_changes_nothing() {
    let setup = Setup::new("job-suspended").await;
    let (database, locker) = (setup.connect().await, setup.connect().await);
    let suspended = setup.worker();
    finish_scheduled_jobs(&database).await;
    insert_expired_sessions(&database).await;
    lock_sessions(&locker).await;
    enqueue_purge(&database).await;
    until_query_returns(&database, WORKER, &suspended.pid().to_string()).await;
    let waits = "select count(*)::text from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%delete from sessions%'";
    until_query_returns(&database, waits, "1").await;
    suspended.signal("STOP");
    let other = setup.worker();
    // The other worker has taken the job over before the statement of the suspended one continues.
    until_query_returns(&database, WORKER, &other.pid().to_string()).await;
    unlock_sessions(&locker).await;
    until_query_returns(&database, PURGE, "done").await;
    let row_as_json = "select to_jsonb(jobs)::text from jobs where unique_key = 'the test''s'";
    let done: String = database.query_one(row_as_json, &[]).await.expect("the job").get(0);
    drop(other);
    suspended.signal("CONT");
    // The resumed worker finds that its lease is lost and continues with other jobs.
    database
        .batch_execute(
            "insert into jobs (job_id, kind, unique_key, run_after, max_attempts, created_at)
             values (gen_random_uuid(), 'purge_sessions', 'another', now(), 8, now());",
        )
        .await
        .expect("enqueued");
    let other_job = "select status from jobs where unique_key = 'another'";
    until_query_returns(&database, other_job, "done").await;
    let now: String = database.query_one(row_as_json, &[]).await.expect("the job").get(0);
    assert_eq!(now, done);
    until_query_returns(&database, EXPIRED, "0").await;
}

#[tokio::test]
async fn a_stopped_worker_finishes_its_running_job() {
    let setup = Setup::new("job-stopped").await;
    let (database, locker) = (setup.connect().await, setup.connect().await);
    let mut worker = setup.worker();
    finish_scheduled_jobs(&database).await;
    insert_expired_sessions(&database).await;
    lock_sessions(&locker).await;
    enqueue_purge(&database).await;
    until_query_returns(&database, PURGE, "running").await;
    worker.signal("TERM");
    unlock_sessions(&locker).await;
    assert!(worker.wait().success());
    until_query_returns(&database, PURGE, "done").await;
    until_query_returns(&database, WORKER, &worker.pid().to_string()).await;
    until_query_returns(&database, ATTEMPT, "1").await;
}

#[tokio::test]
async fn the_role_selects_what_a_process_runs() {
    let setup = Setup::new("job-roles").await;
    let database = setup.connect().await;
    let jobs = |answer: &Value| answer["checks"]["jobs"]["status"].clone();
    let (status, readyz) = setup.api.call("GET", "/readyz", "", None).await;
    assert_eq!((status, jobs(&readyz)), (200, json!("disabled")));
    setup.api.guest().await;
    let enqueued: i64 =
        database.query_one("select count(*) from jobs", &[]).await.expect("counted").get(0);
    assert_eq!(enqueued, 0);
    let worker = setup.worker();
    finish_scheduled_jobs(&database).await;
    let other_workers =
        format!("select count(*)::text from jobs where worker not like '{}-%'", worker.pid());
    until_query_returns(&database, &other_workers, "0").await;
    let (status, readyz) = worker.call("GET", "/readyz", "", None).await;
    assert_eq!((status, jobs(&readyz)), (200, json!("ok")));
    assert_eq!(worker.call("GET", "/healthz", "", None).await.0, 200);
    for path in ["/api/v1/catalog", "/openapi.json", "/docs", "/api/v1/me"] {
        assert_eq!(worker.call("GET", path, "", None).await.0, 404, "{path}");
    }
    let folder = Folder::new("job-both");
    let both = Program::start(&[("DATA_DIR", text(folder.path()))]);
    let database = running(folder.path()).await.expect("the server runs a database");
    let (client, connection) = database.connect(tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    finish_scheduled_jobs(&client).await;
    both.guest().await;
    let (_, readyz) = both.call("GET", "/readyz", "", None).await;
    assert_eq!(jobs(&readyz), "ok");
}

#[tokio::test]
async fn the_command_line_lists_retries_and_discards_jobs() {
    let setup = Setup::new("job-commands").await;
    let database = setup.connect().await;
    insert_expired_sessions(&database).await;
    enqueue_purge(&database).await;
    database
        .batch_execute(
            "update jobs set status = 'dead', attempt = 8, error = E'no\nhope', finished_at = now()",
        )
        .await
        .expect("updated");
    let row = database.query_one("select job_id::text from jobs", &[]).await.expect("the job");
    let id: String = row.get(0);
    let (succeeded, message) = setup.jobs(&["list", "--status", "dead"]);
    assert!(succeeded && message.lines().count() == 1, "{message}");
    for part in [&id, "dead", "8/8", "purge_sessions", "the test's", "no hope"] {
        assert!(message.contains(part), "{message} has no {part}");
    }
    assert_eq!(setup.jobs(&["list", "--status", "queued"]), (true, String::new()));
    assert_eq!(setup.jobs(&["retry", &id]), (true, format!("{id} runs again\n")));
    until_query_returns(&database, PURGE, "queued").await;
    let worker = setup.worker();
    until_query_returns(&database, PURGE, "done").await;
    until_query_returns(&database, EXPIRED, "0").await;
    drop(worker);
    assert_eq!(
        setup.jobs(&["retry", &id]),
        (false, format!("{id} is running or done, and cannot be retried\n"))
    );
    assert_eq!(setup.jobs(&["discard", &id]), (true, format!("{id} is discarded\n")));
    assert_eq!(setup.jobs(&["discard", &id]), (false, format!("there is no job {id}\n")));
    // The server still works.
    setup.api.guest().await;
    // The command also works without a running server.
    let Setup { api, folder, .. } = setup;
    drop(api);
    let listed = run(&["jobs", "list"], &[("DATA_DIR", text(folder.path()))]);
    assert!(listed.status.success());
    assert!(String::from_utf8_lossy(&listed.stdout).contains("sweep"));
}
