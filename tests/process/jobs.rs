//! Workers as processes: killed, frozen, stopped; and the command line for jobs.

use std::path::Path;
use std::time::{Duration, Instant};

use idlewatt::store::embedded::running;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::config::Host;

use crate::program::{Folder, Program, run};

const SECRET: &str = "a secret of the tests, long enough to sign with";
const ADMIN_TOKEN: &str = "operators-token-of-the-tests";
/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that runs no jobs, and its database, which workers share.
struct World {
    api: Program,
    database: tokio_postgres::Config,
    folder: Folder,
}

impl World {
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
        // The database belongs to the server, and the command connects to it.
        let settings = [("DATA_DIR", text(self.folder.path()))];
        let output = run(&[&["jobs"], arguments].concat(), &settings);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Waits until a query, whose result is one text, has that answer.
async fn until_told(database: &Client, question: &str, answer: &str) {
    let started = Instant::now();
    loop {
        let row = database.query_opt(question, &[]).await.expect(question);
        let told = row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default();
        if told == answer {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{question}: {told} is not {answer}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const PURGE: &str = "select status from jobs where unique_key = 'the test''s'";
const WORKER: &str = "select split_part(worker, '-', 1) from jobs where unique_key = 'the test''s'";
const ATTEMPT: &str = "select attempt::text from jobs where unique_key = 'the test''s'";
const LAPSED: &str = "select count(*)::text from sessions where chain_key = 'lapsed'";

/// Inserts something to purge.
async fn leave_lapsed_sessions(database: &Client) {
    database
        .batch_execute(
            "insert into sessions (
                 player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at
             )
             select gen_random_uuid(), gen_random_uuid(), 'lapsed', 'none', now(), now(), '2000-01-01'
             from generate_series(1, 10)",
        )
        .await
        .expect("left");
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

/// Lets every job of the worker's schedules finish, so that only the test's is left.
async fn settle_down(database: &Client) {
    let open = "select count(*)::text from jobs where status in ('queued', 'running')";
    until_told(database, "select (count(*) >= 6)::text from jobs", "true").await;
    until_told(database, open, "0").await;
}

/// A transaction that keeps purges from ending.
async fn hold_sessions(database: &Client) {
    database.batch_execute("begin; lock table sessions in share mode").await.expect("locked");
}

async fn let_sessions_go(database: &Client) {
    database.batch_execute("rollback").await.expect("let go");
}

#[tokio::test]
async fn a_killed_workers_job_is_taken_over() {
    let world = World::new("job-killed").await;
    let (database, holder) = (world.connect().await, world.connect().await);
    let worker = world.worker();
    settle_down(&database).await;
    leave_lapsed_sessions(&database).await;
    hold_sessions(&holder).await;
    enqueue_purge(&database).await;
    until_told(&database, PURGE, "running").await;
    until_told(&database, WORKER, &worker.pid().to_string()).await;
    worker.signal("KILL");
    let other = world.worker();
    let_sessions_go(&holder).await;
    until_told(&database, PURGE, "done").await;
    until_told(&database, WORKER, &other.pid().to_string()).await;
    until_told(&database, ATTEMPT, "2").await;
    until_told(&database, LAPSED, "0").await;
}

#[tokio::test]
async fn a_worker_frozen_beyond_its_lease_changes_nothing() {
    let world = World::new("job-frozen").await;
    let (database, holder) = (world.connect().await, world.connect().await);
    let frozen = world.worker();
    settle_down(&database).await;
    leave_lapsed_sessions(&database).await;
    hold_sessions(&holder).await;
    enqueue_purge(&database).await;
    until_told(&database, WORKER, &frozen.pid().to_string()).await;
    let waits = "select count(*)::text from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%delete from sessions%'";
    until_told(&database, waits, "1").await;
    frozen.signal("STOP");
    let other = world.worker();
    // Another worker has it before the frozen one's statement continues.
    until_told(&database, WORKER, &other.pid().to_string()).await;
    let_sessions_go(&holder).await;
    until_told(&database, PURGE, "done").await;
    let whole = "select to_jsonb(jobs)::text from jobs where unique_key = 'the test''s'";
    let done: String = database.query_one(whole, &[]).await.expect("the job").get(0);
    drop(other);
    frozen.signal("CONT");
    // It wakes, finds that its lease is lost, and continues with other jobs.
    database
        .batch_execute(
            "insert into jobs (job_id, kind, unique_key, run_after, max_attempts, created_at)
             values (gen_random_uuid(), 'purge_sessions', 'another', now(), 8, now());",
        )
        .await
        .expect("enqueued");
    let another = "select status from jobs where unique_key = 'another'";
    until_told(&database, another, "done").await;
    let now: String = database.query_one(whole, &[]).await.expect("the job").get(0);
    assert_eq!(now, done);
    until_told(&database, LAPSED, "0").await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_finishes_running_jobs() {
    let world = World::new("job-stopped").await;
    let (database, holder) = (world.connect().await, world.connect().await);
    let mut worker = world.worker();
    settle_down(&database).await;
    leave_lapsed_sessions(&database).await;
    hold_sessions(&holder).await;
    enqueue_purge(&database).await;
    until_told(&database, PURGE, "running").await;
    worker.signal("TERM");
    let_sessions_go(&holder).await;
    assert!(worker.wait().success());
    until_told(&database, PURGE, "done").await;
    until_told(&database, WORKER, &worker.pid().to_string()).await;
    until_told(&database, ATTEMPT, "1").await;
}

#[tokio::test]
async fn the_role_decides_what_a_process_does() {
    let world = World::new("job-roles").await;
    let database = world.connect().await;
    let jobs = |answer: &Value| answer["checks"]["jobs"]["status"].clone();
    let (status, readyz) = world.api.call("GET", "/readyz", "", None).await;
    assert_eq!((status, jobs(&readyz)), (200, json!("disabled")));
    world.api.guest().await;
    let enqueued: i64 =
        database.query_one("select count(*) from jobs", &[]).await.expect("counted").get(0);
    assert_eq!(enqueued, 0);
    let worker = world.worker();
    settle_down(&database).await;
    let strangers =
        format!("select count(*)::text from jobs where worker not like '{}-%'", worker.pid());
    until_told(&database, &strangers, "0").await;
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
    settle_down(&client).await;
    both.guest().await;
    let (_, readyz) = both.call("GET", "/readyz", "", None).await;
    assert_eq!(jobs(&readyz), "ok");
}

#[tokio::test]
async fn the_command_line_lists_retries_and_discards_jobs() {
    let world = World::new("job-commands").await;
    let database = world.connect().await;
    leave_lapsed_sessions(&database).await;
    enqueue_purge(&database).await;
    database
        .batch_execute(
            "update jobs set status = 'dead', attempt = 8, error = E'no\nhope', finished_at = now()",
        )
        .await
        .expect("buried");
    let row = database.query_one("select job_id::text from jobs", &[]).await.expect("the job");
    let id: String = row.get(0);
    let (well, said) = world.jobs(&["list", "--status", "dead"]);
    assert!(well && said.lines().count() == 1, "{said}");
    for part in [&id, "dead", "8/8", "purge_sessions", "the test's", "no hope"] {
        assert!(said.contains(part), "{said} has no {part}");
    }
    assert_eq!(world.jobs(&["list", "--status", "queued"]), (true, String::new()));
    assert_eq!(world.jobs(&["retry", &id]), (true, format!("{id} runs again\n")));
    until_told(&database, PURGE, "queued").await;
    let worker = world.worker();
    until_told(&database, PURGE, "done").await;
    until_told(&database, LAPSED, "0").await;
    drop(worker);
    assert_eq!(
        world.jobs(&["retry", &id]),
        (false, format!("{id} is running or done, and cannot be retried\n"))
    );
    assert_eq!(world.jobs(&["discard", &id]), (true, format!("{id} is discarded\n")));
    assert_eq!(world.jobs(&["discard", &id]), (false, format!("there is no job {id}\n")));
    // The server was not affected.
    world.api.guest().await;
    // No running server is needed.
    let World { api, folder, .. } = world;
    drop(api);
    let listed = run(&["jobs", "list"], &[("DATA_DIR", text(folder.path()))]);
    assert!(listed.status.success());
    assert!(String::from_utf8_lossy(&listed.stdout).contains("sweep"));
}
