//! Polls that wait.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{append, poll, sequences, stream_of};
use crate::support::books::eventually;
use crate::support::{Player, Reply, TestApp, World};

/// Longer than any answer takes that does not wait for its time-out, and shorter than the wait of a poll.
const SOON: Duration = Duration::from_secs(20);

/// Begins a poll that waits, and returns when it does so.
async fn begin(app: &TestApp, player: &Player, query: String) -> tokio::task::JoinHandle<Reply> {
    let before = app.metric("stream_polls_waiting");
    let player = player.clone();
    let waiting = tokio::spawn(async move { poll(&player, &format!("{query}&wait=25")).await });
    eventually("the poll waits", async || {
        (app.metric("stream_polls_waiting") > before).then_some(())
    })
    .await;
    waiting
}

#[tokio::test]
async fn a_poll_waits_for_the_next_event() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 2).await.expect("appended");
    for query in [
        format!("stream={stream}@2&stream=announcements"),
        format!("stream=announcements@0&stream={stream}"),
    ] {
        let waiting = begin(&app, &ada, query).await;
        let last = append(&app, &stream, 2).await.expect("appended");
        let polled = timeout(SOON, waiting).await.expect("soon").expect("ended").expect(200).json;
        assert_eq!(sequences(&polled), [last - 1, last]);
        // The next query continues there.
        append(&app, &stream, 0).await.expect("nothing");
        if last == 4 {
            let reset = "update streams set head = 2; delete from stream_events where sequence > 2";
            app.world.connect().await.batch_execute(reset).await.expect("reset");
        }
    }
    eventually("nobody waits", async || (app.metric("stream_polls_waiting") == 0.0).then_some(()))
        .await;
    assert_eq!(app.server.streams.followed(), 0);
}

#[tokio::test]
async fn a_poll_without_events_ends_at_its_time() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let query = format!("stream={}@0&wait=1", stream_of(&ada));
    let polled = poll(&ada, &query).await.expect(200).json;
    assert_eq!((sequences(&polled), &polled["more"]), (vec![], &json!(false)));
}

#[tokio::test]
async fn a_player_may_have_four_waiting_polls() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let query = |player: &Player| format!("stream={}@0", stream_of(player));
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(begin(&app, &ada, query(&ada)).await);
    }
    let refused =
        poll(&ada, &format!("{}&wait=25", query(&ada))).await.expect_problem(429, "rate_limited");
    assert_eq!(refused.json["policy"], "polls");
    assert!(!refused.header("retry-after").is_empty());
    // A poll that does not wait, and other players, are not refused.
    poll(&ada, &query(&ada)).await.expect(200);
    waiting.push(begin(&app, &bob, query(&bob)).await);
    // A client that closes its connection frees the place.
    waiting.remove(0).abort();
    let freed = eventually("a place is free", async || {
        (app.metric("stream_polls_waiting") == 4.0).then_some(())
    });
    timeout(SOON, freed).await.expect("before the poll would have ended by itself");
    waiting.push(begin(&app, &ada, query(&ada)).await);
    append(&app, &stream_of(&ada), 1).await.expect("appended");
    append(&app, &stream_of(&bob), 1).await.expect("appended");
    for poll in waiting {
        timeout(SOON, poll).await.expect("soon").expect("ended").expect(200);
    }
}

#[tokio::test]
async fn a_poll_ends_with_its_session_through_any_instance() {
    let world = World::new().await.with_redis();
    let (app, other) = (world.start().await, world.start().await);
    let ada = app.client.guest().await;
    let query = format!("stream={}@0", stream_of(&ada));
    let waiting = begin(&app, &ada, query.clone()).await;
    let again =
        Player::of(&app.client, &app.client.call("POST", "/auth/guest", "", Some(json!({}))).await);
    ada.at(&other).post("/auth/logout", json!({})).await.expect(204);
    timeout(SOON, waiting)
        .await
        .expect("soon")
        .expect("ended")
        .expect_problem(401, "unauthenticated");
    // A ban.
    let waiting = begin(&app, &again, format!("stream={}@0", stream_of(&again))).await;
    let path = format!("/players/{}/ban", again.id);
    other.client.admin("POST", &path, Some(json!({}))).await.expect(204);
    timeout(SOON, waiting)
        .await
        .expect("soon")
        .expect("ended")
        .expect_problem(403, "player_banned");
    // A deletion.
    let eve = app.client.guest().await;
    let waiting = begin(&app, &eve, format!("stream={}@0", stream_of(&eve))).await;
    eve.client.call("DELETE", "/me", &eve.token, None).await.expect(204);
    timeout(SOON, waiting)
        .await
        .expect("soon")
        .expect("ended")
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn polls_end_when_the_server_drains() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let waiting = begin(&app, &ada, format!("stream={}@0", stream_of(&ada))).await;
    app.server.health.drain();
    let polled = timeout(SOON, waiting).await.expect("soon").expect("ended").expect(200).json;
    assert_eq!(sequences(&polled), Vec::<i64>::new());
    // A further poll does not wait.
    let query = format!("stream={}@0&wait=25", stream_of(&ada));
    timeout(SOON, poll(&ada, &query)).await.expect("soon").expect(200);
}

#[tokio::test]
async fn a_waiting_poll_holds_no_connection_to_the_database() {
    let app = TestApp::new().await;
    let mut waiting = Vec::new();
    // More than there are connections.
    for _ in 0..10 {
        let player = app.client.guest().await;
        waiting.push(
            begin(&app, &player, format!("stream={}@0&stream=announcements", stream_of(&player)))
                .await,
        );
    }
    let ada = app.client.guest().await;
    ada.click(1).await.expect(200);
    append(&app, "announcements", 1).await.expect("appended");
    for poll in waiting {
        let polled = timeout(SOON, poll).await.expect("soon").expect("ended").expect(200).json;
        assert_eq!(sequences(&polled), [1]);
    }
}

#[tokio::test]
async fn a_new_epoch_ends_polls_with_resync() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let epoch = ada.state().await["epoch"].clone();
    let waiting =
        begin(&app, &ada, format!("stream={}@0&stream=announcements@0", stream_of(&ada))).await;
    let renew = "update deployment set epoch = gen_random_uuid()";
    app.world.connect().await.batch_execute(renew).await.expect("renewed");
    let polled = timeout(SOON, waiting).await.expect("soon").expect("ended").expect(200).json;
    assert_ne!(polled["epoch"], epoch);
    let streams = polled["streams"].as_array().expect("a list");
    assert!(streams.len() == 2 && streams.iter().all(|it| it["resync"] == true), "{polled}");
}
