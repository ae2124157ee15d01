//! Appending: no number is skipped, used twice, or spent in vain.

use futures_util::future::join_all;
use serde_json::json;

use super::{Follower, append, now, poll, sequences, stream_of};
use crate::support::{Player, TestApp, World};

#[tokio::test]
async fn racing_transactions_number_events_in_the_order_of_commit() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await, world.start().await];
    let ada = apps[0].client.guest().await;
    let stream = stream_of(&ada);
    let writers = (0..9).map(|number| {
        let (app, stream) = (&apps[number % 3], &stream);
        async move {
            for count in 1..=5 {
                append(app, stream, count).await.expect("appended");
                append(app, "announcements", 1).await.expect("appended");
            }
        }
    });
    // A reader never sees a number before all lower ones.
    let mut reader = Follower::new(&ada, &stream);
    let reading = async { reader.follow_to(&apps[1], 9 * 15).await };
    tokio::join!(join_all(writers), reading);
    let mut reader = Follower::new(&ada, "announcements");
    reader.follow_to(&apps[2], 45).await;
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_spends_no_number() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1).await.expect("appended");
    let mut transaction = app.server.store.begin().await.expect("begun");
    let mut locked = transaction.lock_streams(vec![stream.clone()]).await.expect("locked");
    let added = locked.add(&stream, "test.event", now(&app), None, "{}".to_owned());
    assert_eq!(added.expect("added"), 2);
    transaction.append_events(locked).await.expect("appended");
    // Another one waits for the lock, and takes the same number after the rollback.
    let waiting = append(&app, &stream, 1);
    let (last, rolled_back) = tokio::join!(waiting, async {
        wait_for_lock(&app, 1).await;
        transaction.rollback().await
    });
    rolled_back.expect("rolled back");
    assert_eq!(last.expect("appended"), 2);
    let polled = poll(&ada, &format!("stream={stream}@0")).await.expect(200).json;
    assert_eq!(sequences(&polled), [1, 2]);
}

/// Returns when that many sessions wait for a lock.
async fn wait_for_lock(app: &TestApp, sessions: i64) {
    let database = app.world.connect().await;
    crate::support::books::eventually("a session waits for a lock", async || {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        let waiting: i64 = database.query_one(sql, &[]).await.expect("counted").get(0);
        (waiting >= sessions).then_some(())
    })
    .await;
}

/// The first race: an append that waited for a lock must not use what it read before. Here a player is deleted while a
/// notification waits.
#[tokio::test]
async fn what_decides_is_read_after_the_lock() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let database = app.world.connect().await;
    // Holds the row of the player, as a deletion does.
    database.batch_execute("begin").await.expect("begun");
    let id: uuid::Uuid = ada.id.parse().expect("an id");
    let lock = "select from players where player_id = $1 for update";
    database.query(lock, &[&id]).await.expect("locked");
    let body = crate::notifications::notification(crate::notifications::to(&[&ada]), "gift", "low");
    let sending = crate::notifications::send(&app, body);
    let (sent, ()) = tokio::join!(sending, async {
        wait_for_lock(&app, 1).await;
        let gone = "delete from players where player_id = $1";
        database.execute(gone, &[&id]).await.expect("deleted");
        database.batch_execute("commit").await.expect("committed");
    });
    sent.expect(202);
    // Nothing was made for a player who was gone by then, and no number was spent.
    let left = "select (select count(*) from notifications), (select count(*) from streams), (select count(*) from stream_events)";
    let row = database.query_one(left, &[]).await.expect("counted");
    assert_eq!([0, 1, 2].map(|column| row.get::<_, i64>(column)), [0, 0, 0]);
}

#[tokio::test]
async fn a_type_that_is_muted_while_a_notification_waits_is_not_made() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1).await.expect("appended");
    let mut holding = app.server.store.begin().await.expect("begun");
    let locked = holding.lock_streams(vec![stream.clone()]).await.expect("locked");
    let mute = json!({ "muted_types": ["gift"] });
    let muting = ada.client.call("PUT", "/me/notification-settings", &ada.token, Some(mute));
    let body = crate::notifications::notification(crate::notifications::to(&[&ada]), "gift", "low");
    let sending = async {
        wait_for_lock(&app, 1).await;
        crate::notifications::send(&app, body).await
    };
    let (muted, sent, ()) = tokio::join!(muting, sending, async {
        wait_for_lock(&app, 2).await;
        holding.append_events(locked).await.expect("nothing");
        holding.commit().await.expect("committed");
    });
    muted.expect(200);
    sent.expect(202);
    let polled = poll(&ada, &format!("stream={stream}@0")).await.expect(200).json;
    assert_eq!(sequences(&polled), [1]);
}

/// The second race: of two sessions that would both append because of the same key, the one that waited must see the
/// other's row and append nothing.
#[tokio::test]
async fn a_repeat_that_waited_appends_nothing() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1).await.expect("appended");
    let id = crate::notifications::notify(&app, &ada, "gift", "low").await;
    // Both mark the same notification as read: the second one waits for the stream, and then changes nothing.
    let mut transaction = app.server.store.begin().await.expect("begun");
    let locked = transaction.lock_streams(vec![stream.clone()]).await.expect("locked");
    let path = "/me/notifications/read";
    let mark = || ada.post(path, json!({ "ids": [id] }));
    let (first, second, ()) = tokio::join!(mark(), mark(), async {
        wait_for_lock(&app, 1).await;
        transaction.append_events(locked).await.expect("nothing");
        transaction.commit().await.expect("committed");
    });
    assert_eq!(first.expect(200).json, second.expect(200).json);
    let polled = poll(&ada, &format!("stream={stream}@0")).await.expect(200).json;
    assert_eq!(sequences(&polled), [1, 2, 3]);
}

#[tokio::test]
async fn a_head_that_moved_without_the_lock_is_noticed() {
    let app = TestApp::new().await;
    let ada: Player = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1).await.expect("appended");
    let mut transaction = app.server.store.begin().await.expect("begun");
    let mut locked = transaction.lock_streams(vec![stream.clone()]).await.expect("locked");
    locked.add(&stream, "test.event", now(&app), None, "{}".to_owned()).expect("added");
    // In the same transaction, as no other one could.
    let mut other = transaction.lock_streams(vec![stream.clone()]).await.expect("locked");
    other.add(&stream, "test.event", now(&app), None, "{}".to_owned()).expect("added");
    transaction.append_events(other).await.expect("appended");
    assert!(transaction.append_events(locked).await.is_err());
    transaction.rollback().await.expect("rolled back");
    assert_eq!(append(&app, &stream, 1).await.expect("appended"), 2);
}
