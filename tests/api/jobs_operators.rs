//! Jobs as operators see them: listing, retrying and discarding jobs, readiness, and metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use idlewatt::jobs::{Error, Kind};
use idlewatt::supervisor::Supervisor;
use serde_json::{Value, json};

use crate::support::books::eventually;
use crate::support::{TestApp, World};

const LEASE: Duration = Duration::from_secs(15);
const UNKNOWN_ID: &str = "00000000-0000-7000-8000-000000000000";

/// A kind of job whose only attempt fails.
fn failing() -> Kind {
    Kind::new("failing", async |_| Err(Error::Other("first line\nsecond line".into())))
        .with_max_attempts(1)
}

async fn act(app: &TestApp, method: &str, job: &Value, call: &str) -> crate::support::Reply {
    let id = job["id"].as_str().expect("an id");
    app.client.admin(method, &format!("/jobs/{id}{call}"), None).await
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_error_retried_and_discarded() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![failing()], LEASE);
    assert!(jobs.enqueue("failing", "once", &json!({ "for": "show" })).await.expect("enqueued"));
    assert!(!jobs.enqueue("failing", "once", &json!({})).await.expect("known"));
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    let dead = app.job("failing").await;
    assert_eq!(dead["status"], "dead");
    assert_eq!(dead["error"], "first line\nsecond line");
    assert_eq!((&dead["attempt"], &dead["max_attempts"]), (&json!(1), &json!(1)));
    assert_eq!((&dead["key"], &dead["arguments"]), (&json!("once"), &json!({ "for": "show" })));
    assert_eq!(dead["worker"], jobs.worker());
    assert_eq!(dead["finished_at"], "2026-01-05T00:00:00.000Z");
    // A dead letter is never retried by itself.
    app.advance(86_400.0);
    assert_eq!(jobs.run_due().await.expect("run"), 0);
    act(&app, "POST", &dead, "/retry").await.expect(204);
    let queued = app.job("failing").await;
    assert_eq!((&queued["status"], &queued["attempt"]), (&json!("queued"), &json!(0)));
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(app.job("failing").await["status"], "dead");
    act(&app, "DELETE", &dead, "").await.expect(204);
    assert!(app.jobs("failing").await.is_empty());
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
async fn a_finished_job_cannot_be_retried_and_a_waiting_job_can() {
    let app = TestApp::new().await;
    app.run_jobs().await;
    let done = app.job("sweep").await;
    assert_eq!(done["status"], "done");
    act(&app, "POST", &done, "/retry").await.expect_problem(409, "requirement_not_met");
    let jobs = app.jobs_of(vec![failing().with_max_attempts(2)], LEASE);
    jobs.enqueue("failing", "once", &json!({})).await.expect("enqueued");
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(jobs.run_due().await.expect("run"), 0, "the job is retried at once");
    act(&app, "POST", &app.job("failing").await, "/retry").await.expect(204);
    assert_eq!(jobs.run_due().await.expect("run"), 1);
    assert_eq!(
        app.job("failing").await["status"],
        "queued",
        "the retried job does not have all its attempts"
    );
}

#[tokio::test]
async fn jobs_are_listed_by_status_in_complete_pages() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![failing()], LEASE);
    for index in 0..7 {
        jobs.enqueue("failing", &index.to_string(), &json!({})).await.expect("enqueued");
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
    let other_cursor = page["next_cursor"].as_str().expect("a cursor");
    for (query, field) in [
        (format!("status=dead&cursor={other_cursor}"), "cursor"),
        ("status=lost".into(), "status"),
        ("limit=0".into(), "limit"),
        ("kind=sweep".into(), "kind"),
    ] {
        let reply = app.client.admin("GET", &format!("/jobs?{query}"), None).await;
        let reply = reply.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], field, "{query}");
    }
    for path in [format!("/jobs/{UNKNOWN_ID}"), "/jobs/sweep".to_owned()] {
        let reply = app.client.admin("DELETE", &path, None).await;
        reply.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn readiness_reports_the_state_of_the_jobs() {
    let world = World::new().await;
    let api = world.start_with(&[("ROLE", "api")]).await;
    let both = world.start().await;
    let check = async |app: &TestApp| {
        let request = app.client.request("GET", "/readyz");
        app.client.send(request).await.expect(200).json["checks"]["jobs"].clone()
    };
    both.server.jobs.start(&both.server.supervisor);
    let answered = eventually("the queue has answered", async || {
        let answered = check(&both).await;
        answered["latency_ms"].is_number().then_some(answered)
    })
    .await;
    assert_eq!(answered["status"], "ok");
    assert_eq!(check(&api).await, json!({ "status": "disabled", "latency_ms": null }));
    // No instance here can run this kind of job, as if only another version of the server knew it.
    let unknown_kind = api.jobs_of(vec![Kind::new("unknown", async |_| unreachable!())], LEASE);
    unknown_kind.enqueue("unknown", "once", &json!({})).await.expect("enqueued");
    world.advance(61.0);
    eventually("readiness reports the overdue job", async || {
        (check(&both).await["status"] == "degraded").then_some(())
    })
    .await;
    both.stop().await;
}

#[tokio::test]
async fn metrics_count_runs_failures_and_dead_letters() {
    let app = TestApp::new().await;
    let jobs = app.jobs_of(vec![failing()], LEASE);
    jobs.enqueue("failing", "once", &json!({})).await.expect("enqueued");
    jobs.start(&Supervisor::new());
    app.job_of_status("failing", "dead").await;
    let text = eventually("the dead letter is counted", async || {
        let text = String::from_utf8(app.server.metrics.render().expect("text")).expect("text");
        text.contains("job_dead_letters 1\n").then_some(text)
    })
    .await;
    let lines: BTreeSet<&str> = text.lines().collect();
    for line in [
        "job_runs_total{kind=\"failing\"} 1",
        "job_failures_total{kind=\"failing\"} 1",
        "job_duration_seconds_count{kind=\"failing\"} 1",
        "job_oldest_due_seconds 0",
    ] {
        assert!(lines.contains(line), "no {line} in {text}");
    }
    jobs.drain().await;
}
