//! What players do with notifications.

use serde_json::{Value, json};

use super::{announce, events, list, notify, types, unread};
use crate::support::TestApp;

#[tokio::test]
async fn marking_as_read_changes_counts_once_and_tells_other_tabs() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let first = notify(&app, &ada, "first", "high").await;
    let second = notify(&app, &ada, "second", "low").await;
    let announced = announce(&app, "party", "medium").await;
    let others = notify(&app, &bob, "other", "low").await;
    let read = async |body: Value| ada.post("/me/notifications/read", body).await;
    // Ids of others change nothing.
    let reply = read(json!({ "ids": [first, others, announced] })).await.expect(200);
    assert_eq!(reply.json, json!({ "unread": unread(0, 0, 1) }));
    let again = read(json!({ "ids": [first, others, announced] })).await.expect(200);
    assert_eq!(again.json, reply.json);
    assert_eq!(list(&bob, "").await["unread"], unread(0, 1, 1));
    let told = events(&ada).await;
    assert_eq!(told.len(), 3, "two created, one read");
    assert_eq!(told[2]["type"], "notification.read");
    assert_eq!(
        told[2]["data"],
        json!({ "ids": [first, others, announced], "unread": unread(0, 0, 1) })
    );
    let shown = list(&ada, "").await;
    for entry in shown["entries"].as_array().expect("a list") {
        assert_eq!(entry["read_at"].is_null(), entry["id"] == second, "{entry}");
    }
    assert_eq!(types(&list(&ada, "?unread=true").await), ["second"]);
    // Up to a sequence.
    let third = notify(&app, &ada, "third", "low").await;
    let head = list(&ada, "").await["head"].clone();
    read(json!({ "through": 2 })).await.expect(200);
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 1));
    let reply = read(json!({ "through": head, "announcements_through": 1 })).await.expect(200);
    assert_eq!(reply.json, json!({ "unread": unread(0, 0, 0) }));
    let told = events(&ada).await;
    let last = told.last().expect("events");
    assert_eq!(
        last["data"],
        json!({ "through": head, "announcements_through": 1, "unread": unread(0, 0, 0) })
    );
    assert!(!third.is_empty());
}

#[tokio::test]
async fn malformed_marks_are_refused() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    notify(&app, &ada, "first", "high").await;
    let read = async |body: Value| ada.post("/me/notifications/read", body).await;
    let id = json!("0198c2b4-0000-7000-8000-000000000000");
    for body in [
        json!({}),
        json!({ "ids": ["x"] }),
        json!({ "ids": null }),
        json!({ "ids": [id], "through": 1 }),
        json!({ "through": 1.5 }),
        json!({ "through": -1 }),
        json!({ "through": "1" }),
        json!({ "through": 2 }),
        json!({ "announcements_through": 1 }),
    ] {
        read(body.clone()).await.expect_problem(400, "invalid_request");
    }
    for body in [json!({ "ids": [] }), json!({ "ids": vec![id; 1001] })] {
        read(body).await.expect_problem(422, "validation_failed");
    }
    assert_eq!(list(&ada, "").await["unread"], unread(1, 0, 0));
    read(json!({ "through": 1.0 })).await.expect(200);
    assert_eq!(list(&ada, "").await["unread"], unread(0, 0, 0));
}

#[tokio::test]
async fn a_removed_notification_is_gone_for_its_player_only() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let first = notify(&app, &ada, "first", "high").await;
    notify(&app, &ada, "second", "low").await;
    let announced = announce(&app, "party", "medium").await;
    let remove = async |id: &str| {
        ada.client.call("DELETE", &format!("/me/notifications/{id}"), &ada.token, None).await
    };
    remove(&first).await.expect(204);
    remove(&first).await.expect_problem(404, "not_found");
    assert_eq!(list(&ada, "").await["unread"], unread(0, 1, 1));
    remove(&announced).await.expect(204);
    remove(&announced).await.expect_problem(404, "not_found");
    let shown = list(&ada, "").await;
    assert_eq!((types(&shown), &shown["unread"]), (vec!["second"], &unread(0, 0, 1)));
    assert_eq!(types(&list(&bob, "").await), ["party"]);
    let told = events(&ada).await;
    assert_eq!(told.len(), 4);
    assert_eq!(told[2]["type"], "notification.deleted");
    assert_eq!(told[2]["data"], json!({ "id": first, "unread": unread(0, 1, 1) }));
    assert_eq!(told[3]["data"], json!({ "id": announced, "unread": unread(0, 0, 1) }));
    // A replay shows only the id of what was removed.
    assert_eq!(told[0]["data"], json!({ "id": first }));
    let others = notify(&app, &bob, "other", "low").await;
    remove(&others).await.expect_problem(404, "not_found");
    remove("x").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn pages_contain_every_entry_once_newest_first() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for number in 0..5 {
        let kind = format!("personal_{number}");
        notify(&app, &ada, &kind, if number % 2 == 0 { "high" } else { "low" }).await;
        announce(&app, &format!("common_{number}"), "low").await;
        if number % 2 == 0 {
            app.advance(1.0);
        }
    }
    let all = list(&ada, "").await;
    assert_eq!(types(&all).len(), 10);
    let times: Vec<_> =
        all["entries"].as_array().expect("a list").iter().map(|it| it["at"].as_str()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    for (filter, expected) in [("", 10), ("&priority=high", 3), ("&unread=true&priority=low", 7)] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&ada, &format!("?limit=3{filter}{cursor}")).await;
            found.extend(types(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let whole = list(&ada, &format!("?limit=100{filter}")).await;
        assert_eq!(
            (found.len(), &found),
            (expected, &types(&whole).iter().map(|it| (*it).to_owned()).collect())
        );
    }
    for query in
        ["?limit=0", "?limit=101", "?priority=urgent", "?unread=maybe", "?cursor=x", "?x=1"]
    {
        let reply = ada.get(&format!("/me/notifications{query}")).await;
        reply.expect_problem(400, "invalid_request");
    }
}
