//! The job queue: schedules, attempts, leases, steps, and the deletion of old rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idlewatt::domain::Timestamp;
use idlewatt::jobs::{Error, Kind, Schedule, Work};
use idlewatt::supervisor::Supervisor;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio_postgres::Client;

use crate::support::books::eventually;
use crate::support::{TestApp, World};

const LEASE: Duration = Duration::from_secs(15);
const SHORT_LEASE: Duration = Duration::from_secs(1);

/// Inserts rows that a test's job deletes: their deletion is the visible effect of the job.
async fn insert_effect_rows(database: &Client, count: i32) {
    let sql = "insert into revocations (subject, reason, revoked_at)
        select gen_random_uuid(), 'session_ended', '2000-01-01' from generate_series(1, $1)";
    database.execute(sql, &[&count]).await.expect("inserted");
}

/// How many of the rows are left.
async fn effect_rows_left(database: &Client) -> i64 {
    let sql = "select count(*) from revocations where revoked_at = '2000-01-01'";
    database.query_one(sql, &[]).await.expect("counted").get(0)
}

/// A time that is later than the timestamp of every effect row.
fn after_all_effect_rows(work: &Work) -> Timestamp {
    work.now().plus_seconds(-365.0 * 86_400.0)
}

/// A job that deletes the effect rows in an open transaction, signals that, waits for a permit, and commits.
fn slow(effect_made: &Arc<Notify>, permits: &Arc<Semaphore>) -> Kind {
    let (effect_made, permits) = (Arc::clone(effect_made), Arc::clone(permits));
    Kind::new("slow", move |work: Work| {
        let (effect_made, permits) = (Arc::clone(&effect_made), Arc::clone(&permits));
        async move {
            let mut step = work.begin().await?;
            step.purge_revocations(after_all_effect_rows(&work)).await?;
            effect_made.notify_one();
            permits.acquire().await.expect("open").forget();
            work.finish(step).await
        }
    })
}

#[tokio::test]
async fn a_schedule_enqueues_each_turn_once_for_any_number_of_instances() {
    for instances in [1, 3, 5] {
        let world = World::new().await;
        let runs = Arc::new(AtomicUsize::new(0));
        let mut running = Vec::new();
        for _ in 0..instances {
            let app = world.start().await;
            let runs = Arc::clone(&runs);
            let kind = Kind::new("count", move |work: Work| {
                let runs = Arc::clone(&runs);
                async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    work.finish(work.begin().await?).await
                }
            });
            let kind = kind.on(Schedule::every(Duration::from_mins(10)));
            let jobs = app.jobs_of(vec![kind], LEASE);
            jobs.start(&Supervisor::new());
            running.push((app, jobs));
        }
        let app = &running[0].0;
        for turns in 1..=3 {
            eventually("every turn has run", async || {
                let jobs = app.jobs("count").await;
                let done = jobs.iter().filter(|job| job["status"] == "done").count();
                (done >= turns).then_some(())
            })
            .await;
            world.advance(600.0);
        }
        let mut keys = Vec::new();
        for (_, jobs) in &running {
            jobs.drain().await;
            // This enqueues the turn that is due. The other instances must find it enqueued already.
            jobs.run_due().await.expect("run");
        }
        for job in app.jobs("count").await {
            assert_eq!((&job["status"], &job["attempt"]), (&json!("done"), &json!(1)), "{job}");
            keys.push(job["key"].as_str().expect("a key").to_owned());
        }
        keys.reverse();
        let expected =
            ["00:00", "10:00", "20:00", "30:00"].map(|it| format!("2026-01-05T00:{it}Z"));
        assert_eq!(keys, expected, "{instances} instances");
        assert_eq!(runs.load(Ordering::SeqCst), expected.len(), "{instances} instances");
    }
}

#[tokio::test]
async fn after_missed_turns_only_the_latest_is_run() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    app.advance(20.0 * 3600.0 + 7.0 * 60.0);
    app.run_jobs().await;
    app.run_jobs().await;
    let keys: Vec<Value> = app.jobs("sweep").await.iter().map(|job| job["key"].clone()).collect();
    assert_eq!(keys, ["2026-01-05T20:00:00Z", "2026-01-05T00:00:00Z"]);
    // A clock step back enqueues nothing, even if the jobs of the repeated turns were deleted.
    app.world.connect().await.batch_execute("delete from jobs").await.expect("deleted");
    app.advance(-7200.0);
    app.run_jobs().await;
    assert!(app.jobs("sweep").await.is_empty());
}

#[tokio::test]
async fn failures_are_retried_after_growing_pauses_and_end_as_a_dead_letter() {
    let app = TestApp::new().await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let kind = Kind::new("failing", move |_| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            assert!(attempt != 2, "the second attempt panics");
            Err(Error::Other(format!("attempt {attempt} failed")))
        }
    });
    let jobs = app.jobs_of(vec![kind.with_max_attempts(4)], LEASE);
    jobs.enqueue("failing", "once", &json!({})).await.expect("enqueued");
    let mut pauses = Vec::new();
    for attempt in 1..=4 {
        assert_eq!(jobs.run_due().await.expect("run"), 1);
        assert_eq!(jobs.run_due().await.expect("run"), 0, "it is retried at once");
        let job = app.job("failing").await;
        assert_eq!(job["attempt"], attempt);
        let error = job["error"].as_str().expect("an error");
        if attempt == 2 {
            assert!(error.contains("panic"), "{error}");
        } else {
            assert_eq!(error, format!("attempt {attempt} failed"));
        }
        assert_eq!(job["status"], if attempt < 4 { "queued" } else { "dead" });
        if attempt < 4 {
            let mut pause = 0.0;
            while jobs.run_due().await.expect("run") == 0 {
                app.advance(0.5);
                pause += 0.5;
                assert!(pause < 60.0, "it is never retried");
            }
            // The loop has run the next attempt already, so the test undoes it.
            attempts.fetch_sub(1, Ordering::SeqCst);
            let sql = "update jobs set attempt = attempt - 1, status = 'queued', run_after = '2000-01-01'";
            app.world.connect().await.batch_execute(sql).await.expect("undone");
            pauses.push(pause);
        }
    }
    for pair in pauses.windows(2) {
        assert!(pair[1] > pair[0] * 1.5, "{pauses:?}");
    }
    app.advance(86_400.0);
    assert_eq!(jobs.run_due().await.expect("run"), 0);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_commit() {
    let app = TestApp::new().await;
    let database = app.world.connect().await;
    insert_effect_rows(&database, 5).await;
    let (effect_made, permits) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let stalling = app.jobs_of(vec![slow(&effect_made, &permits)], LEASE);
    stalling.enqueue("slow", "once", &json!({})).await.expect("enqueued");
    stalling.start(&Supervisor::new());
    effect_made.notified().await;
    // The worker has deleted the rows and does not commit. The test lets its lease expire.
    let lapse = "update jobs set lease_expires_at = clock_timestamp() - interval '1 second'";
    let other = Kind::new("slow", async |work: Work| {
        // It does not delete the rows, so that the test can distinguish the two workers.
        work.finish(work.begin().await?).await
    });
    let other = app.jobs_of(vec![other], LEASE);
    // The stalled worker may renew its lease, so the test lets it expire repeatedly.
    eventually("another worker takes the job over", async || {
        database.batch_execute(lapse).await.expect("lapsed");
        (other.run_due().await.expect("run") == 1).then_some(())
    })
    .await;
    let done = app.job("slow").await;
    assert_eq!((&done["status"], &done["attempt"]), (&json!("done"), &json!(2)));
    assert_eq!(done["worker"], other.worker());
    permits.add_permits(1);
    stalling.drain().await;
    assert_eq!(effect_rows_left(&database).await, 5, "the stalled worker's deletion was committed");
    assert_eq!(app.job("slow").await, done);
}

#[tokio::test]
async fn a_running_job_that_is_discarded_has_no_effect() {
    let app = TestApp::new().await;
    let database = app.world.connect().await;
    insert_effect_rows(&database, 5).await;
    let (effect_made, permits) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let jobs = app.jobs_of(vec![slow(&effect_made, &permits)], LEASE);
    jobs.enqueue("slow", "once", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    effect_made.notified().await;
    let path = format!("/jobs/{}", app.job("slow").await["id"].as_str().expect("an id"));
    let retry = app.client.admin("POST", &format!("{path}/retry"), None).await;
    retry.expect_problem(409, "requirement_not_met");
    app.client.admin("DELETE", &path, None).await.expect(204);
    permits.add_permits(1);
    jobs.drain().await;
    assert_eq!(effect_rows_left(&database).await, 5);
    assert!(app.jobs("slow").await.is_empty());
}

#[tokio::test]
async fn a_long_job_renews_its_lease() {
    let app = TestApp::new().await;
    let database = app.world.connect().await;
    let (effect_made, permits) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let kind = slow(&effect_made, &permits);
    let jobs = app.jobs_of(vec![kind.clone()], SHORT_LEASE);
    let others = app.jobs_of(vec![kind], SHORT_LEASE);
    jobs.enqueue("slow", "once", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    effect_made.notified().await;
    others.start(&Supervisor::new());
    let began = "select lease_expires_at from jobs";
    let began: std::time::SystemTime =
        database.query_one(began, &[]).await.expect("the job").get(0);
    let renewed = "select lease_expires_at > $1::timestamptz + interval '3 seconds' from jobs";
    eventually("the lease is three times its length", async || {
        let row = database.query_one(renewed, &[&began]).await.expect("the job");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    permits.add_permits(1);
    let done = app.job_of_status("slow", "done").await;
    assert_eq!((&done["attempt"], &done["worker"]), (&json!(1), &json!(jobs.worker())));
    jobs.drain().await;
    others.drain().await;
}

#[tokio::test]
async fn a_retried_job_continues_after_its_last_committed_step() {
    let app = TestApp::new().await;
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let recorded = Arc::clone(&begun);
    let kind = Kind::new("steps", move |work: Work| {
        let recorded = Arc::clone(&recorded);
        async move {
            let mut step = work.progress::<u64>()?.unwrap_or(0);
            recorded.lock().expect("unpoisoned").push(step);
            while step < 4 {
                step += 1;
                work.advance(work.begin().await?, &step).await?;
                if step == 3 {
                    return Err(Error::Other("failed after step 3".into()));
                }
            }
            work.finish(work.begin().await?).await
        }
    });
    let jobs = app.jobs_of(vec![kind], LEASE);
    jobs.enqueue("steps", "once", &json!({})).await.expect("enqueued");
    jobs.run_due().await.expect("run");
    app.advance(60.0);
    jobs.run_due().await.expect("run");
    assert_eq!(*begun.lock().expect("unpoisoned"), [0, 3]);
    assert_eq!(app.job("steps").await["status"], "done");
}

#[tokio::test]
async fn a_job_whose_workers_crash_ends_as_a_dead_letter() {
    let app = TestApp::new().await;
    let kind = Kind::new("deadly", async |_| std::future::pending().await);
    let jobs = app.jobs_of(vec![kind.with_max_attempts(1)], LEASE);
    jobs.enqueue("deadly", "once", &json!({})).await.expect("enqueued");
    let database = app.world.connect().await;
    let die = "update jobs set status = 'running', attempt = 1, worker = 'somebody',
        lease_token = gen_random_uuid(), lease_expires_at = clock_timestamp()";
    database.batch_execute(die).await.expect("died");
    jobs.start(&Supervisor::new());
    let dead = app.job_of_status("deadly", "dead").await;
    let error = dead["error"].as_str().expect("an error");
    assert!(error.contains("somebody died"), "{error}");
    jobs.drain().await;
}

#[tokio::test]
async fn draining_finishes_running_jobs_and_starts_no_others() {
    let app = TestApp::new().await;
    let database = app.world.connect().await;
    insert_effect_rows(&database, 5).await;
    let (effect_made, permits) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let jobs = app.jobs_of(vec![slow(&effect_made, &permits)], LEASE);
    jobs.enqueue("slow", "first", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    effect_made.notified().await;
    let draining = tokio::spawn({
        let jobs = Arc::clone(&jobs);
        async move { jobs.drain().await }
    });
    app.advance(1.0);
    jobs.enqueue("slow", "second", &json!({})).await.expect("enqueued");
    permits.add_permits(1);
    draining.await.expect("drained");
    let (second, first) = (&app.jobs("slow").await[0], &app.jobs("slow").await[1]);
    assert_eq!((&first["key"], &first["status"]), (&json!("first"), &json!("done")));
    assert_eq!(effect_rows_left(&database).await, 0);
    // The second job was not taken, or was returned without a counted attempt.
    assert_eq!((&second["status"], &second["attempt"]), (&json!("queued"), &json!(0)));
}

#[tokio::test]
async fn a_job_with_several_steps_is_returned_to_the_queue_at_shutdown() {
    let app = TestApp::new().await;
    let begun = Arc::new(Notify::new());
    let started = Arc::clone(&begun);
    let kind = Kind::new("endless", move |work: Work| {
        let started = Arc::clone(&started);
        async move {
            let mut step = work.progress::<u64>()?.unwrap_or(0);
            while !work.is_stopping() {
                step += 1;
                work.advance(work.begin().await?, &step).await?;
                started.notify_one();
            }
            work.hand_back().await
        }
    });
    let jobs = app.jobs_of(vec![kind], LEASE);
    jobs.enqueue("endless", "once", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    begun.notified().await;
    jobs.drain().await;
    let job = app.job("endless").await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("queued"), &json!(0)));
    let database = app.world.connect().await;
    let row = database.query_one("select progress::text::bigint from jobs", &[]).await;
    assert!(row.expect("the job").get::<_, i64>(0) >= 1);
}

#[tokio::test]
async fn only_expired_rows_are_deleted() {
    let world = World::new().await;
    let app = world.start_with(&[("ACCESS_TOKEN_TTL_SECONDS", "86400")]).await;
    let database = world.connect().await;
    let idle = app.client.guest().await;
    // Ids contain their time, so ids of different times sort by age.
    world.advance(1.0);
    let playing = app.client.guest().await;
    playing.click(1).await.expect(200);
    world.advance(1.0);
    let named = app.client.register("ada").await;
    world.advance(29.0 * 86_400.0);
    let young = app.client.guest().await;
    app.run_jobs().await;
    let players = async || {
        let sql = "select player_id::text from players order by player_id";
        let rows = database.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let all = [&idle, &playing, &named, &young].map(|player| player.id.clone());
    assert_eq!(players().await, all);
    world.advance(2.0 * 86_400.0);
    app.run_jobs().await;
    assert_eq!(players().await, all[1..]);
    let count =
        async |sql: &str| -> i64 { database.query_one(sql, &[]).await.expect("counted").get(0) };
    assert_eq!(count("select count(*) from sessions").await, 3);
    assert_eq!(count("select count(*) from deleted_players").await, 1);
    assert_eq!(
        count("select count(*) from revocations").await,
        1,
        "the revocation of the deleted guest"
    );
    // Sessions are valid for ninety days.
    world.advance(70.0 * 86_400.0);
    app.run_jobs().await;
    assert_eq!(count("select count(*) from sessions").await, 0);
    assert_eq!(
        count("select count(*) from revocations").await,
        1,
        "the revocation of the younger guest"
    );
    assert_eq!(players().await, all[1..3]);
    // Finished jobs are deleted after a day.
    let old = "select count(*) from jobs where finished_at < '2026-04-01'";
    assert_eq!(count(old).await, 0);
}
