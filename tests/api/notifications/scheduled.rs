//! Notifications that are sent later, and that expire.

use serde_json::json;

use super::{events, list, notification, send, to, types, unread};
use crate::support::books::start_for_days;
use crate::support::{TestApp, World};

#[tokio::test]
async fn a_notification_is_sent_at_its_time_and_not_before() {
    let app = start_for_days(&World::new().await).await;
    let ada = app.client.guest().await;
    let later = |kind: &str, to| {
        let mut body = notification(to, kind, "low");
        body["at"] = json!("2026-01-05T01:00:00Z");
        body
    };
    send(&app, later("gift", to(&[&ada]))).await.expect(202);
    send(&app, later("party", json!("all"))).await.expect(202);
    let withdrawn = send(&app, later("mistake", to(&[&ada]))).await.expect(202).json;
    let path = format!("/notifications/{}", withdrawn["id"].as_str().expect("an id"));
    app.client.admin("DELETE", &path, None).await.expect(204);
    app.advance(3599.0);
    app.run_jobs().await;
    assert_eq!(list(&ada, "").await["entries"], json!([]));
    app.advance(1.0);
    app.run_jobs().await;
    let shown = list(&ada, "").await;
    let mut kinds = types(&shown);
    kinds.sort_unstable();
    assert_eq!((kinds, &shown["unread"]), (vec!["gift", "party"], &unread(0, 0, 2)));
    assert_eq!(shown["entries"][0]["at"], "2026-01-05T01:00:00.000Z");
    // The jobs run once more, as after a worker that ended right after its commit.
    let database = app.world.connect().await;
    let again = "update jobs set status = 'queued' where kind = 'send_notification'";
    assert_eq!(database.execute(again, &[]).await.expect("queued"), 3);
    app.run_jobs().await;
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 2));
    assert_eq!(events(&ada).await.len(), 1);
}

#[tokio::test]
async fn what_has_expired_counts_until_a_job_removes_it_with_an_event() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for (kind, to) in [("gift", to(&[&ada])), ("party", json!("all"))] {
        let mut body = notification(to, kind, "medium");
        body["expires_at"] = json!("2026-01-05T00:10:00Z");
        send(&app, body).await.expect(202);
    }
    let mut never_sent = notification(to(&[&ada]), "late", "high");
    never_sent["at"] = json!("2026-01-05T00:09:00Z");
    never_sent["expires_at"] = json!("2026-01-05T00:10:00Z");
    send(&app, never_sent).await.expect(202);
    app.advance(600.0);
    // Time alone changes nothing.
    assert_eq!(list(&ada, "").await["unread"], unread(0, 2, 0));
    app.run_jobs().await;
    let shown = list(&ada, "").await;
    assert_eq!((&shown["entries"], &shown["unread"]), (&json!([]), &unread(0, 0, 0)));
    let told = events(&ada).await;
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[1]["type"], &told[1]["request_id"]),
        (&json!("notification.deleted"), &json!(null))
    );
    let polled = ada.get("/events?stream=announcements@0").await.expect(200).json;
    assert_eq!(polled["events"][1]["type"], "announcement.withdrawn");
    // Again: nothing.
    app.advance(60.0);
    app.run_jobs().await;
    assert_eq!(events(&ada).await.len(), 2);
}

#[tokio::test]
async fn old_notifications_are_removed_after_ninety_days_and_their_texts_later() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    send(&app, notification(to(&[&ada]), "gift", "medium")).await.expect(202);
    send(&app, notification(json!("all"), "party", "medium")).await.expect(202);
    let database = app.world.connect().await;
    let counts = async || {
        let sql = "select (select count(*) from notifications), (select count(*) from mailings),
            (select count(*) from mailings where sequence is not null and ended_at is null)";
        let row = database.query_one(sql, &[]).await.expect("counted");
        [0, 1, 2].map(|column| row.get::<_, i64>(column))
    };
    app.advance(89.0 * 86_400.0);
    app.run_jobs().await;
    assert_eq!(counts().await[..2], [1, 2]);
    app.advance(2.0 * 86_400.0);
    app.run_jobs().await;
    assert_eq!(counts().await[0], 0);
    app.advance(30.0 * 86_400.0);
    app.run_jobs().await;
    let [notifications, _, open] = counts().await;
    assert_eq!(notifications, 0);
    let sql = "select count(*) from mailings where type in ('gift', 'party')";
    let left: i64 = database.query_one(sql, &[]).await.expect("counted").get(0);
    assert_eq!((left, open), (0, 0));
}
