//! Notifications and announcements.

mod counts;
mod game;
mod reading;
mod scheduled;
mod sending;

use serde_json::{Value, json};

use crate::support::{Player, Reply, TestApp};

/// A notification as an operator sends it.
pub fn notification(to: Value, kind: &str, priority: &str) -> Value {
    json!({
        "to": to,
        "type": kind,
        "priority": priority,
        "title": { "en": format!("About {kind}"), "ko": format!("{kind} 소식") },
        "body": { "en": "First line\nSecond line" },
        "data": { "kind": kind },
    })
}

/// Some players as recipients.
pub fn to(players: &[&Player]) -> Value {
    json!({ "players": players.iter().map(|player| &player.id).collect::<Vec<_>>() })
}

/// Sends a notification as an operator.
pub async fn send(app: &TestApp, body: Value) -> Reply {
    app.client.admin("POST", "/notifications", Some(body)).await
}

/// Sends a notification to one player, and returns its id at that player.
pub async fn notify(app: &TestApp, player: &Player, kind: &str, priority: &str) -> String {
    send(app, notification(to(&[player]), kind, priority)).await.expect(202);
    let list = list(player, "").await;
    let entry = list["entries"].as_array().expect("a list").iter().find(|it| it["type"] == kind);
    entry.expect("the notification")["id"].as_str().expect("an id").to_owned()
}

/// Makes an announcement, and returns its id.
pub async fn announce(app: &TestApp, kind: &str, priority: &str) -> String {
    let sent = send(app, notification(json!("all"), kind, priority)).await.expect(202);
    sent.json["id"].as_str().expect("an id").to_owned()
}

/// The list of a player's notifications.
pub async fn list(player: &Player, query: &str) -> Value {
    player.get(&format!("/me/notifications{query}")).await.expect(200).json
}

/// The types in a list, newest first.
pub fn types(list: &Value) -> Vec<&str> {
    let entries = list["entries"].as_array().expect("a list");
    entries.iter().map(|entry| entry["type"].as_str().expect("a type")).collect()
}

/// Unread counts.
pub fn unread(high: u64, medium: u64, low: u64) -> Value {
    json!({ "high": high, "medium": medium, "low": low })
}

/// All events of a player's stream.
pub async fn events(player: &Player) -> Vec<Value> {
    let path = format!("/events?stream=player:{}@0", player.id);
    let polled = player.get(&path).await.expect(200).json;
    assert_eq!(polled["more"], false);
    polled["events"].as_array().expect("a list").clone()
}
