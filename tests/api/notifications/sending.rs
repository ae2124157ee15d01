//! What operators send.

use serde_json::{Value, json};

use super::{announce, events, list, notification, notify, send, to, types, unread};
use crate::support::TestApp;

#[tokio::test]
async fn a_notification_is_committed_when_it_is_answered_and_told_by_an_event() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let sent = send(&app, notification(to(&[&ada]), "gift", "medium")).await.expect(202);
    let list_of_ada = list(&ada, "").await;
    let entry = &list_of_ada["entries"][0];
    assert_eq!(entry["title"], "About gift");
    assert_eq!(entry["body"], "First line\nSecond line");
    assert_eq!((&entry["priority"], &entry["sequence"]), (&json!("medium"), &json!(1)));
    assert_eq!((&entry["data"], &entry["read_at"]), (&json!({ "kind": "gift" }), &Value::Null));
    assert_eq!((&entry["announcement"], &entry["expires_at"]), (&json!(false), &Value::Null));
    assert_eq!(list_of_ada["unread"], unread(0, 1, 0));
    assert_eq!((&list_of_ada["head"], &list_of_ada["announcements_head"]), (&json!(1), &json!(0)));
    let events = events(&ada).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "notification.created");
    assert_eq!(&events[0]["data"], entry);
    assert!(events[0]["request_id"].is_string());
    assert_eq!(list(&bob, "").await["entries"], json!([]));
    // The operator sees what was sent.
    let sent_list = app.client.admin("GET", "/notifications", None).await.expect(200).json;
    assert_eq!(sent_list["entries"][0]["id"], sent.json["id"]);
    assert_eq!(sent_list["entries"][0]["to"], to(&[&ada]));
    assert!(sent_list["entries"][0]["sent_at"].is_string());
}

#[tokio::test]
async fn an_announcement_is_one_row_for_everybody_who_was_there() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    app.advance(1.0);
    let id = announce(&app, "party", "high").await;
    app.advance(1.0);
    let late = app.client.guest().await;
    let shown = list(&ada, "").await;
    let entry = &shown["entries"][0];
    assert_eq!((&entry["id"], &entry["announcement"]), (&json!(id), &json!(true)));
    assert_eq!((&entry["sequence"], &shown["announcements_head"]), (&json!(1), &json!(1)));
    assert_eq!(shown["unread"], unread(1, 0, 0));
    // Announcements from before the account are not shown.
    assert_eq!(list(&late, "").await["entries"], json!([]));
    assert_eq!(list(&late, "").await["unread"], unread(0, 0, 0));
    let polled = late.get("/events?stream=announcements@0").await.expect(200).json;
    let event = &polled["events"][0];
    assert_eq!(
        (&event["stream"], &event["type"]),
        (&json!("announcements"), &json!("announcement.created"))
    );
    assert_eq!(event["data"]["title"], json!({ "en": "About party", "ko": "party 소식" }));
    assert_eq!(event["data"]["body"], json!({ "en": "First line\nSecond line" }));
    let database = app.world.connect().await;
    let sql = "select (select count(*) from notifications), (select count(*) from stream_events)";
    let row = database.query_one(sql, &[]).await.expect("counted");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 1));
}

#[tokio::test]
async fn texts_are_in_the_language_of_the_player() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    notify(&app, &ada, "gift", "low").await;
    announce(&app, "party", "low").await;
    let titles = async |accepted: &str| {
        let request = app.client.request("GET", "/api/v1/me/notifications");
        let request = request.bearer_auth(&ada.token).header("Accept-Language", accepted);
        let reply = app.client.send(request).await.expect(200);
        assert_eq!(reply.header("vary"), "Authorization, Accept-Language");
        let entries = reply.json["entries"].as_array().expect("a list").clone();
        let mut titles: Vec<_> =
            entries.iter().map(|it| it["title"].as_str().expect("text").to_owned()).collect();
        titles.sort_unstable();
        titles
    };
    let english = ["About gift", "About party"];
    let korean = ["gift 소식", "party 소식"];
    assert_eq!(titles("en").await, english);
    assert_eq!(titles("ko-KR, en;q=0.5").await, korean);
    assert_eq!(titles("fr").await, english);
    assert_eq!(ada.state().await["language"], Value::Null);
    let patch = async |body: Value| ada.client.call("PATCH", "/me", &ada.token, Some(body)).await;
    let state = patch(json!({ "language": "ko" })).await.expect(200).json;
    assert_eq!((&state["language"], &state["version"]), (&json!("ko"), &json!(1)));
    assert_eq!(titles("en").await, korean);
    let both = patch(json!({ "language": "en", "display_name": "Ada" })).await.expect(200).json;
    assert_eq!((&both["language"], &both["display_name"]), (&json!("en"), &json!("Ada")));
    assert_eq!(titles("ko").await, english);
    // A name alone keeps the language.
    assert_eq!(patch(json!({ "display_name": "Eve" })).await.expect(200).json["language"], "en");
    patch(json!({ "language": "fr" })).await.expect_problem(422, "validation_failed");
    patch(json!({ "language": null })).await.expect_problem(400, "invalid_request");
    patch(json!({})).await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_key_has_one_effect_for_thirty_days() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut body = notification(to(&[&ada]), "gift", "low");
    body["dedupe_key"] = json!("gift-1");
    let first = send(&app, body.clone()).await.expect(202).json;
    app.advance(86_400.0);
    let second = send(&app, body.clone()).await.expect(200).json;
    assert_eq!(first["id"], second["id"]);
    let mut other = body.clone();
    other["type"] = json!("other");
    send(&app, other.clone()).await.expect_problem(422, "idempotency_key_reused");
    let shown = async || list(&app.client.guest().await, "").await;
    drop(shown().await);
    let database = app.world.connect().await;
    let count = async || {
        let row = database.query_one("select count(*) from notifications", &[]).await;
        row.expect("counted").get::<_, i64>(0)
    };
    assert_eq!(count().await, 1);
    app.advance(30.0 * 86_400.0);
    let third = send(&app, other).await.expect(202).json;
    assert_ne!(first["id"], third["id"]);
    assert_eq!(count().await, 2);
}

#[tokio::test]
async fn racing_requests_with_one_key_send_once() {
    let app = TestApp::new().await;
    let other = app.world.start().await;
    let ada = app.client.guest().await;
    let mut body = notification(to(&[&ada]), "gift", "low");
    body["dedupe_key"] = json!("gift-1");
    let requests = (0..8).map(|number| {
        let at = if number % 2 == 0 { &app } else { &other };
        send(at, body.clone())
    });
    let replies = futures_util::future::join_all(requests).await;
    let id = &replies[0].json["id"];
    assert!(id.is_string() && replies.iter().all(|reply| reply.json["id"] == *id));
    assert_eq!(replies.iter().filter(|reply| reply.status == 202).count(), 1);
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 1));
    assert_eq!(events(&ada).await.len(), 1);
}

#[tokio::test]
async fn what_is_withdrawn_is_gone_everywhere_and_told_once() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let sent = send(&app, notification(to(&[&ada, &bob]), "gift", "high")).await.expect(202).json;
    let announced = announce(&app, "party", "medium").await;
    let withdraw =
        async |id: &str| app.client.admin("DELETE", &format!("/notifications/{id}"), None).await;
    for _ in 0..2 {
        withdraw(sent["id"].as_str().expect("an id")).await.expect(204);
        withdraw(&announced).await.expect(204);
    }
    for player in [&ada, &bob] {
        let shown = list(player, "").await;
        assert_eq!((&shown["entries"], &shown["unread"]), (&json!([]), &unread(0, 0, 0)));
        let events = events(player).await;
        let kinds: Vec<_> = events.iter().map(|it| it["type"].as_str().expect("text")).collect();
        assert_eq!(kinds, ["notification.created", "notification.deleted"]);
        // The announcement still counts at that moment: it was withdrawn later.
        assert_eq!(events[1]["data"]["unread"], unread(0, 1, 0));
        // A replay does not show what was withdrawn.
        assert_eq!(events[0]["data"], json!({ "id": events[1]["data"]["id"] }));
    }
    let polled = ada.get("/events?stream=announcements@0").await.expect(200).json;
    let events = polled["events"].as_array().expect("a list");
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["type"], "announcement.withdrawn");
    assert_eq!(events[1]["data"], json!({ "id": announced }));
    withdraw("0198c2b4-0000-7000-8000-000000000000").await.expect_problem(404, "not_found");
    let sent_list = app.client.admin("GET", "/notifications", None).await.expect(200).json;
    assert!(
        sent_list["entries"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|it| it["ended_at"].is_string())
    );
}

#[tokio::test]
async fn muted_types_are_not_made_and_high_ones_always() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let settings = async |body: Value| {
        ada.client.call("PUT", "/me/notification-settings", &ada.token, Some(body)).await
    };
    assert_eq!(
        ada.get("/me/notification-settings").await.expect(200).json,
        json!({ "muted_types": [] })
    );
    let muted = json!({ "muted_types": ["gift", "party"] });
    let stored = settings(json!({ "muted_types": ["party", "gift", "party"] })).await.expect(200);
    assert_eq!(stored.json, muted);
    assert_eq!(ada.get("/me/notification-settings").await.expect(200).json, muted);
    for priority in ["high", "medium", "low"] {
        send(&app, notification(to(&[&ada]), "gift", priority)).await.expect(202);
        announce(&app, "party", priority).await;
    }
    let shown = list(&ada, "").await;
    // Muted announcements are listed, but do not count.
    assert_eq!(shown["unread"], unread(2, 0, 0));
    assert_eq!(types(&shown).iter().filter(|kind| **kind == "gift").count(), 1);
    assert_eq!(types(&shown).iter().filter(|kind| **kind == "party").count(), 3);
    assert_eq!(events(&ada).await.len(), 1);
    settings(json!({ "muted_types": [] })).await.expect(200);
    assert_eq!(list(&ada, "").await["unread"], unread(2, 1, 1));
    for wrong in ["", "A", "with space", &"a".repeat(65)] {
        settings(json!({ "muted_types": [wrong] })).await.expect_problem(422, "validation_failed");
    }
    let many: Vec<_> = (0..101).map(|number| format!("type_{number}")).collect();
    settings(json!({ "muted_types": many })).await.expect_problem(422, "validation_failed");
    settings(json!({ "muted_types": "gift" })).await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn the_newest_thousand_are_kept() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let database = app.world.connect().await;
    let fill = format!(
        "insert into notifications (player_id, notification_id, sequence, type, priority, data, at)
        select '{}', gen_random_uuid(), 0, 'old', 2, '{{}}', timestamptz '2026-01-01' + make_interval(secs => number)
        from generate_series(1, 1000) as number",
        ada.id
    );
    database.batch_execute(&fill).await.expect("filled");
    notify(&app, &ada, "gift", "high").await;
    let shown = list(&ada, "").await;
    assert_eq!(shown["unread"], unread(1, 0, 999));
    assert_eq!(types(&shown)[0], "gift");
    let events = events(&ada).await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[1]["type"], &events[1]["data"]["unread"]),
        (&json!("notification.deleted"), &unread(1, 0, 999))
    );
}

#[tokio::test]
async fn requests_that_are_not_allowed_send_nothing() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let valid = notification(to(&[&ada]), "gift", "low");
    let changed = |path: &str, value: Value| {
        let mut body = valid.clone();
        *body.pointer_mut(path).expect("a member") = value;
        body
    };
    let with = |name: &str, value: Value| {
        let mut body = valid.clone();
        body[name] = value;
        body
    };
    let id = json!("0198c2b4-0000-7000-8000-000000000000");
    for body in [
        changed("/to", json!("some")),
        changed("/to", json!({ "players": [] })),
        changed("/to", json!({ "players": vec![id; 1001] })),
        changed("/type", json!("With Capitals")),
        changed("/type", json!("")),
        changed("/priority", json!("urgent")),
        changed("/title", json!({ "en": "" })),
        changed("/title", json!({ "en": "two\nlines" })),
        changed("/title", json!({ "en": "a".repeat(121) })),
        changed("/title", json!({ "en": "a", "ko": "\u{202e}" })),
        changed("/body", json!({ "en": "a".repeat(4001) })),
        changed("/data", json!({ "long": "a".repeat(8 * 1024) })),
        changed("/data", json!({ "nul": "\u{0}" })),
        with("dedupe_key", json!("")),
        with("dedupe_key", json!("with space")),
        with("expires_at", json!("2020-01-01T00:00:00Z")),
    ] {
        send(&app, body).await.expect_problem(422, "validation_failed");
    }
    for body in [
        changed("/to", json!(null)),
        changed("/to", json!(["all"])),
        changed("/to", json!({ "players": ["ada"] })),
        changed("/title", json!("plain")),
        changed("/title", json!({ "ko": "안녕" })),
        changed("/data", json!([])),
        with("at", json!("tomorrow")),
        with("unknown", json!(1)),
    ] {
        send(&app, body).await.expect_problem(400, "invalid_request");
    }
    send(&app, changed("/title", json!({ "en": "a".repeat(120) }))).await.expect(202);
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 1));
    // Players who do not exist are skipped.
    let both = json!({ "players": [ada.id, "0198c2b4-0000-7000-8000-000000000000"] });
    send(&app, changed("/to", both)).await.expect(202);
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 2));
}

#[tokio::test]
async fn entries_of_the_outbox_are_told_of_in_the_order_in_which_they_happened() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    // Both are committed together.
    let sql = format!(
        "insert into outbox (player_id, type, at, data)
         select '{}', 'grant', now(), jsonb_build_object('energy', number) from generate_series(0, 1) as number",
        ada.id
    );
    app.world.connect().await.batch_execute(&sql).await.expect("added");
    app.empty_outbox().await;
    let events = events(&ada).await;
    let energies: Vec<_> = events.iter().map(|it| it["data"]["data"]["energy"].clone()).collect();
    assert_eq!(energies, [json!(0), json!(1)], "in the order in which they happened");
}
