//! Every field of a player has a column, and each statement that writes players writes every field.

use std::time::{Duration, Instant};

use idlewatt::store::players::PlayerRecord;
use idlewatt::store::seed::SeedPlayer;
use idlewatt::store::{Change, Commit, Store, Written};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

/// Fields that a commit does not write.
const NEVER_COMMITTED: [&str; 5] = ["id", "revision", "username", "created_at", "banned"];

/// The JSON pointers of all fields that a commit writes, such as `/player/energy`. An absence that is `null` and an
/// inventory count as one field each, because their parts depend on each other.
fn fields(record: &PlayerRecord) -> Vec<String> {
    let record = serde_json::to_value(record).expect("JSON");
    let mut found = Vec::new();
    let mut pending = vec![(String::new(), &record)];
    while let Some((pointer, value)) = pending.pop() {
        match value.as_object().filter(|_| pointer != "/player/inventory") {
            Some(members) => {
                pending.extend(members.iter().map(|(name, it)| (format!("{pointer}/{name}"), it)));
            }
            None => found.push(pointer),
        }
    }
    found.retain(|pointer| !NEVER_COMMITTED.contains(&pointer.trim_start_matches('/')));
    found.sort();
    found
}

/// A different value of the same type as `value`.
fn different_value(pointer: &str, value: &Value) -> Value {
    match (pointer, value) {
        ("/player/inventory", _) => {
            json!({ "generators": [["hand_crank", 4]], "upgrades": ["work_gloves"] })
        }
        ("/player/away", Value::Null) => {
            json!({ "seconds": 1.5, "credited_seconds": 2.5, "energy": 3.5, "ended_at": 4 })
        }
        ("/player/language", language) => json!(if *language == "ko" { "en" } else { "ko" }),
        (_, Value::String(text)) => json!(format!("{text}, changed")),
        (_, Value::Number(number)) if number.is_f64() => {
            json!(number.as_f64().expect("a double") + 1.5)
        }
        (_, Value::Number(number)) => json!(number.as_i64().expect("a whole number") + 1),
        (pointer, value) => panic!("the test has no other value for {pointer}, which is {value}"),
    }
}

/// `record` with a different value in one field.
fn with_different_value(record: &PlayerRecord, pointer: &str) -> PlayerRecord {
    let mut changed = serde_json::to_value(record).expect("JSON");
    let value = changed.pointer_mut(pointer).expect("a field");
    *value = different_value(pointer, value);
    serde_json::from_value(changed).expect("a record")
}

async fn load(store: &Store, id: Uuid) -> PlayerRecord {
    store.load_player(id).await.expect("an answer").expect("a row")
}

/// Commits `record` over `base` and returns the row afterwards.
async fn commit(store: &Store, base: &PlayerRecord, record: &PlayerRecord) -> PlayerRecord {
    let accrues_until = record.player.last_seen_at;
    let written = Written { record, energy_per_second: 0.0, accrues_until };
    let mut commit = Commit::default();
    commit.write(Change { base, written });
    let writing = store.writing(Instant::now()).await.expect("a connection");
    assert_eq!(writing.commit(&commit).await.expect("committed"), [base.id]);
    load(store, base.id).await
}

/// Asserts that two records have the same fields, except those that a commit does not write.
fn assert_same(read: &PlayerRecord, written: &PlayerRecord, what: &str) {
    let [read, written] = [read, written].map(|it| {
        let mut record = serde_json::to_value(it).expect("JSON");
        for name in NEVER_COMMITTED {
            record.as_object_mut().expect("an object").remove(name);
        }
        record
    });
    assert_eq!(read, written, "{what}");
}

#[tokio::test]
async fn a_commit_writes_every_field() {
    let app = TestApp::new().await;
    let (store, guest) = (&app.server.store, app.client.guest().await);
    let mut row = load(store, guest.id.parse().expect("an id")).await;
    // The first round sets an absence. The second round changes the fields of the absence one by one.
    for round in 0..2 {
        let fields = fields(&row);
        assert!(fields.len() >= 16, "{fields:?}");
        for pointer in fields {
            let changed = with_different_value(&row, &pointer);
            let read = commit(store, &row, &changed).await;
            assert_same(&read, &changed, &format!("{pointer} in round {round}"));
            row = read;
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_commit_of_clicks_writes_every_field_that_a_click_changes() {
    let app = TestApp::new().await;
    let (store, guest) = (&app.server.store, app.client.guest().await);
    let row = load(store, guest.id.parse().expect("an id")).await;
    let clicked = [
        "/player/version",
        "/player/energy",
        "/player/lifetime_energy",
        "/player/settled_at",
        "/player/last_seen_at",
        "/player/clicks/tokens",
        "/player/clicks/filled_at",
    ];
    let changed = clicked.iter().fold(row.clone(), |record, it| with_different_value(&record, it));
    assert_same(&commit(store, &row, &changed).await, &changed, "alone");
    app.stop().await;
}

#[tokio::test]
async fn seeding_writes_every_field() {
    let app = TestApp::new().await;
    let (store, guest) = (&app.server.store, app.client.guest().await);
    let mut record = load(store, guest.id.parse().expect("an id")).await;
    for pointer in fields(&record) {
        record = with_different_value(&record, &pointer);
    }
    record.id = Uuid::from_u128(7);
    let accrues_until = record.player.last_seen_at;
    let seeded = [SeedPlayer { record: record.clone(), energy_per_second: 0.0, accrues_until }];
    store.copy_players(&seeded, Duration::from_secs(30)).await.expect("copied");
    assert_same(&load(store, record.id).await, &record, "seeded");
    app.stop().await;
}
