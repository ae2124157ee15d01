//! Unread counts equal a recount at any time, whatever happens at the same time on several instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{events, list, notification, send, to};
use crate::support::books::Dice;
use crate::support::{Player, TestApp, World};

/// How many changes each task makes.
const STEPS: usize = 40;

/// The counts of the unread entries of the list, which is complete.
fn recount(list: &Value) -> Value {
    let entries = list["entries"].as_array().expect("a list");
    let count = |priority: &str| {
        entries.iter().filter(|it| it["read_at"].is_null() && it["priority"] == priority).count()
    };
    json!({ "high": count("high"), "medium": count("medium"), "low": count("low") })
}

/// Makes random changes at one instance.
async fn change(app: &TestApp, player: &Player, seed: u64) {
    let mut dice = Dice::new(seed);
    let player = player.at(app);
    for _ in 0..STEPS {
        let priority = ["high", "medium", "low"][dice.below(3) as usize];
        let shown = list(&player, "?limit=100").await;
        // Every answer is consistent in itself: there are fewer than 100 entries.
        assert_eq!(shown["next_cursor"], Value::Null, "too many entries for this test");
        assert_eq!(shown["unread"], recount(&shown));
        let entries = shown["entries"].as_array().expect("a list").clone();
        let id = entries
            .get(dice.below(entries.len().max(1) as u64) as usize)
            .map(|it| it["id"].clone());
        match (dice.below(10), id) {
            (0..=2, _) => {
                let mut body = notification(to(&[&player]), "personal", priority);
                if dice.below(3) == 0 {
                    // Refused when that time has passed.
                    body["expires_at"] = json!("2026-01-05T00:03:00Z");
                }
                let reply = send(app, body).await;
                assert!([202, 422].contains(&reply.status), "{}", reply.text);
            }
            (3, _) => {
                send(app, notification(json!("all"), "common", priority)).await.expect(202);
            }
            (4..=5, Some(id)) => {
                player.post("/me/notifications/read", json!({ "ids": [id] })).await.expect(200);
            }
            (6, _) => {
                let body = json!({ "through": shown["head"], "announcements_through": shown["announcements_head"] });
                player.post("/me/notifications/read", body).await.expect(200);
            }
            (7..=8, Some(id)) => {
                let path = format!("/me/notifications/{}", id.as_str().expect("an id"));
                let reply = player.client.call("DELETE", &path, &player.token, None).await;
                assert!([204, 404].contains(&reply.status), "{}", reply.text);
            }
            (9, _) => drop(app.run_jobs().await),
            _ => {}
        }
    }
}

#[tokio::test]
async fn counts_equal_a_recount_while_three_instances_change_them() {
    let world = World::new().await.with_redis();
    let apps = [world.start().await, world.start().await, world.start().await];
    let ada = apps[0].client.guest().await;
    let running = AtomicUsize::new(6);
    let changes = (0..6).map(|number| {
        let (app, ada, running) = (&apps[number % 3], &ada, &running);
        async move {
            change(app, ada, number as u64).await;
            running.fetch_sub(1, Ordering::Relaxed);
        }
    });
    let time = async {
        // What expires does so in the middle.
        while running.load(Ordering::Relaxed) > 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            world.advance(0.2);
        }
        world.advance(240.0);
    };
    tokio::join!(join_all(changes), time);
    apps[0].run_jobs().await;
    for app in &apps {
        let shown = list(&ada.at(app), "?limit=100").await;
        assert_eq!(shown["unread"], recount(&shown));
        // The counts after a change come from another statement.
        let body = json!({ "ids": ["0198c2b4-0000-7000-8000-000000000000"] });
        let marked = ada.at(app).post("/me/notifications/read", body).await.expect(200).json;
        assert_eq!(marked["unread"], shown["unread"]);
    }
    // Muted announcements do not count in either of them.
    let muted = json!({ "muted_types": ["common"] });
    ada.client.call("PUT", "/me/notification-settings", &ada.token, Some(muted)).await.expect(200);
    send(&apps[0], notification(json!("all"), "common", "low")).await.expect(202);
    let mut shown = list(&ada, "?limit=100").await;
    let counts = shown["unread"].clone();
    let entries = shown["entries"].as_array_mut().expect("a list");
    entries.retain(|it| it["type"] != "common" || it["priority"] == "high");
    assert_eq!(counts, recount(&shown));
    let body = json!({ "ids": ["0198c2b4-0000-7000-8000-000000000000"] });
    let marked = ada.post("/me/notifications/read", body).await.expect(200).json;
    assert_eq!(marked["unread"], counts);
    // Applying the events to an empty list gives the list.
    let mut known: Vec<Value> = Vec::new();
    let all = events(&ada).await;
    for (position, event) in all.iter().enumerate() {
        assert_eq!(event["sequence"], position + 1, "no gap, no doubles");
        let data = &event["data"];
        match event["type"].as_str().expect("a type") {
            "notification.created" => known.push(data["id"].clone()),
            "notification.deleted" => known.retain(|id| *id != data["id"]),
            "notification.read" => {}
            other => panic!("{other}"),
        }
    }
    let shown = list(&ada, "?limit=100").await;
    let mut listed: Vec<_> = shown["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["announcement"] == false)
        .map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect();
    let mut known: Vec<_> = known.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, listed);
}
