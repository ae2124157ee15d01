//! What operators see of jobs and can do with them.

use std::collections::BTreeSet;
use std::time::Duration;

use idlewatt::jobs::{Error, Kind};
use idlewatt::supervisor::Supervisor;
use serde_json::{Value, json};

use crate::support::books::eventually;
use crate::support::{TestApp, World};

const LEASE: Duration = Duration::from_secs(15);
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// A kind whose only attempt fails.
fn hopeless() -> Kind {
    Kind::new("hopeless", async |_| Err(Error::Other("there is\nno hope".into())))
        .with_max_attempts(1)
}

async fn act(app: &TestApp, method: &str, job: &Value, call: &str) -> crate::support::Reply {
    let id = job["id"].as_str().expect("an id");
    app.client.admin(method, &format!("/jobs/{id}{call}"), None).await
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_error_retried_and_discarded() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![hopeless()], LEASE);
    assert!(jobs.enqueue("hopeless", "once", &json!({ "for": "show" })).await.expect("enqueued"));
    assert!(!jobs.enqueue("hopeless", "once", &json!({})).await.expect("known"));
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    let dead = app.job("hopeless").await;
    assert_eq!(dead["status"], "dead");
    assert_eq!(dead["error"], "there is\nno hope");
    assert_eq!((&dead["attempt"], &dead["max_attempts"]), (&json!(1), &json!(1)));
    assert_eq!((&dead["key"], &dead["arguments"]), (&json!("once"), &json!({ "for": "show" })));
    assert_eq!(dead["worker"], jobs.worker());
    assert_eq!(dead["finished_at"], "2026-01-05T00:00:00.000Z");
    // It stays dead.
    app.advance(86_400.0);
    assert_eq!(jobs.run_due().await.expect("run"), 0);
    act(&app, "POST", &dead, "/retry").await.expect(204);
    let queued = app.job("hopeless").await;
    assert_eq!((&queued["status"], &queued["attempt"]), (&json!("queued"), &json!(0)));
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(app.job("hopeless").await["status"], "dead");
    act(&app, "DELETE", &dead, "").await.expect(204);
    assert!(app.jobs("hopeless").await.is_empty());
    act(&app, "DELETE", &dead, "").await.expect_problem(404, "not_found");
    act(&app, "POST", &dead, "/retry").await.expect_problem(404, "not_found");
    let database = app.world.connect().await;
    let sql = "select action, detail ->> 'job_id' from audit_log where action like '%_job' order by audit_id";
    let audited: Vec<(String, String)> = database
        .query(sql, &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let id = dead["id"].as_str().expect("an id").to_owned();
    assert_eq!(audited, [("retry_job".to_owned(), id.clone()), ("discard_job".to_owned(), id)]);
}

#[tokio::test]
async fn a_done_job_is_not_retried_and_a_waiting_one_can_start_now() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    let done = app.job("sweep").await;
    assert_eq!(done["status"], "done");
    act(&app, "POST", &done, "/retry").await.expect_problem(409, "requirement_not_met");
    let jobs = app.jobs_of(vec![hopeless().with_max_attempts(2)], LEASE);
    jobs.enqueue("hopeless", "once", &json!({})).await.expect("enqueued");
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(jobs.run_due().await.expect("run"), 0, "it waits");
    act(&app, "POST", &app.job("hopeless").await, "/retry").await.expect(204);
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(app.job("hopeless").await["status"], "queued", "it has all its attempts again");
}

#[tokio::test]
async fn jobs_are_listed_by_status_in_complete_pages() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![hopeless()], LEASE);
    for index in 0..7 {
        jobs.enqueue("hopeless", &index.to_string(), &json!({})).await.expect("enqueued");
        app.advance(1.0);
    }
    jobs.run_due().await.expect("run");
    app.run_jobs().await;
    let (mut path, mut keys) = ("/jobs?status=dead&limit=3".to_owned(), Vec::new());
    for (length, more) in [(3, true), (3, true), (1, false)] {
        let page = app.client.admin("GET", &path, None).await.expect(200).json;
        let entries = page["entries"].as_array().expect("a list");
        assert_eq!((entries.len(), page["next_cursor"].is_string()), (length, more));
        keys.extend(entries.iter().map(|job| job["key"].as_str().expect("a key").to_owned()));
        let cursor = page["next_cursor"].as_str().unwrap_or_default();
        path = format!("/jobs?status=dead&limit=3&cursor={cursor}");
    }
    assert_eq!(keys, ["6", "5", "4", "3", "2", "1", "0"]);
    let page = app.client.admin("GET", "/jobs?limit=1", None).await.expect(200).json;
    let foreign = page["next_cursor"].as_str().expect("a cursor");
    for (query, field) in [
        (format!("status=dead&cursor={foreign}"), "cursor"),
        ("status=lost".into(), "status"),
        ("limit=0".into(), "limit"),
        ("kind=sweep".into(), "kind"),
    ] {
        let reply = app.client.admin("GET", &format!("/jobs?{query}"), None).await;
        let reply = reply.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], field, "{query}");
    }
    for path in [format!("/jobs/{NOBODY}"), "/jobs/sweep".to_owned()] {
        let reply = app.client.admin("DELETE", &path, None).await;
        reply.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn readiness_reports_the_jobs() {
    let world = World::new().await;
    let api = world.start_with(&[("ROLE", "api")]).await;
    let both = world.start().await;
    let check = async |app: &TestApp| {
        let request = app.client.request("GET", "/readyz");
        app.client.send(request).await.expect(200).json["checks"]["jobs"].clone()
    };
    both.server.jobs.start(&both.server.supervisor);
    let told = eventually("the queue has answered", async || {
        let told = check(&both).await;
        told["latency_ms"].is_number().then_some(told)
    })
    .await;
    assert_eq!(told["status"], "ok");
    assert_eq!(check(&api).await, json!({ "status": "disabled", "latency_ms": null }));
    // A job of a kind that only another version of the server knows waits.
    let stranger = api.jobs_of(vec![Kind::new("stranger", async |_| unreachable!())], LEASE);
    stranger.enqueue("stranger", "once", &json!({})).await.expect("enqueued");
    world.advance(61.0);
    eventually("the jobs are behind", async || {
        (check(&both).await["status"] == "degraded").then_some(())
    })
    .await;
    both.stop().await;
}

#[tokio::test]
async fn the_metrics_count_runs_failures_and_dead_letters() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![hopeless()], LEASE);
    jobs.enqueue("hopeless", "once", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    app.job_of_status("hopeless", "dead").await;
    let text = eventually("the dead letter is counted", async || {
        let text = String::from_utf8(app.server.metrics.render().expect("text")).expect("text");
        text.contains("job_dead_letters 1\n").then_some(text)
    })
    .await;
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in [
        "job_runs_total{kind=\"hopeless\"} 1",
        "job_failures_total{kind=\"hopeless\"} 1",
        "job_duration_seconds_count{kind=\"hopeless\"} 1",
        "job_oldest_due_seconds 0",
    ] {
        assert!(lines.contains(line), "no {line} in {text}");
    }
    jobs.drain().await;
}
