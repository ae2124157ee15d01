//! Following streams over a socket.

use std::time::Duration;

use idlewatt::store::pulse::Unread;
use serde_json::{Value, json};

use super::Socket;
use crate::streams::{append, now, poll, sequences, stream_of};
use crate::support::books::eventually;
use crate::support::{TestApp, World};

#[tokio::test]
async fn events_after_a_position_come_in_order_and_then_new_ones() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 5).await.expect("appended");
    for protocol in ["idlewatt.v1.json", "idlewatt.v1.msgpack"] {
        let mut socket = Socket::try_open(&app, protocol, &[]).await.expect("opened");
        let streams = json!([{"stream": stream, "after": 2}, {"stream": "announcements"}]);
        let welcome = socket.hello(&ada, json!({"streams": streams})).await;
        let subscribed = socket.expect("subscribed").await;
        assert_eq!(
            subscribed,
            json!({
                "type": "subscribed", "stream": stream, "head": 5, "after": 2, "resync": false,
                "epoch": welcome["epoch"]
            })
        );
        let other = socket.expect("subscribed").await;
        assert_eq!((&other["stream"], &other["after"]), (&json!("announcements"), &other["head"]));
        assert_eq!(socket.sequences(&stream, 3).await, [3, 4, 5]);
        append(&app, &stream, 2).await.expect("appended");
        // The same event as a poll gives.
        let event = socket.expect("event").await["event"].clone();
        let polled = poll(&ada, &format!("stream={stream}@5")).await.expect(200).json;
        assert_eq!(event, polled["events"][0]);
        assert_eq!(socket.sequence(&stream).await, 7);
        socket.expect_nothing().await;
        let reset = "update streams set head = 5; delete from stream_events where sequence > 5";
        drop(socket);
        eventually("nobody follows", async || (app.server.streams.followed() == 0).then_some(()))
            .await;
        app.world.connect().await.batch_execute(reset).await.expect("reset");
    }
    assert_eq!(app.metric("live_subscriptions"), 0.0);
}

#[tokio::test]
async fn streams_are_refused_one_by_one() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let mut socket = Socket::of(&app, &ada).await;
    let answers = socket
        .subscribe(json!([
            {"stream": stream_of(&bob)},
            {"stream": "chat:none", "after": 1},
            {"stream": stream_of(&ada), "after": -1},
            {"stream": stream_of(&ada), "after": 1.5},
            {"stream": stream_of(&ada), "after": "1"},
            {"stream": "announcements", "after": 0},
        ]))
        .await;
    let codes: Vec<_> = answers.iter().map(|it| it["problem"]["code"].as_str()).collect();
    let wrong = Some("invalid_request");
    assert_eq!(codes, [Some("not_found"), Some("not_found"), wrong, wrong, wrong, None]);
    assert_eq!(answers[0]["stream"], stream_of(&bob));
    assert!(answers[1]["problem"]["detail"].as_str().expect("text").contains("chat:none"));
    assert_eq!(answers[5]["type"], "subscribed");
    // A stream of another player is never given.
    append(&app, &stream_of(&bob), 1).await.expect("appended");
    socket.expect_nothing().await;
    socket
        .send(json!({"type": "unsubscribe", "id": 4, "streams": [{"stream": "announcements"}]}))
        .await;
    let frame = socket.expect("unsubscribed").await;
    assert_eq!((&frame["id"], &frame["stream"]), (&json!(4), &json!("announcements")));
    append(&app, "announcements", 1).await.expect("appended");
    socket.expect_nothing().await;
}

#[tokio::test]
async fn a_position_that_cannot_be_continued_is_resync_and_live_from_the_head() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 3).await.expect("appended");
    for (after, epoch) in [(4, None), (1, Some("0000000000000000"))] {
        let mut members = json!({"streams": [{"stream": stream, "after": after}]});
        if let Some(epoch) = epoch {
            members["epoch"] = json!(epoch);
        }
        let mut socket = Socket::with(&app, &ada, members).await;
        let subscribed = socket.expect("subscribed").await;
        let head = subscribed["head"].as_i64().expect("a number");
        assert_eq!((&subscribed["resync"], &subscribed["after"]), (&json!(true), &json!(head)));
        append(&app, &stream, 1).await.expect("appended");
        assert_eq!(socket.sequence(&stream).await, head + 1);
    }
    assert_eq!(app.metric("live_subscribed_total{from=\"resync\"}"), 2.0);
}

#[tokio::test]
async fn a_thousand_missed_events_come_by_pages_while_new_ones_are_made() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 900).await.expect("appended");
    let mut socket =
        Socket::with(&app, &ada, json!({"streams": [{"stream": stream, "after": 0}]})).await;
    socket.expect("subscribed").await;
    let appending = async {
        for _ in 0..50 {
            append(&app, &stream, 3).await.expect("appended");
        }
    };
    let ((), received) = tokio::join!(appending, socket.sequences(&stream, 1_050));
    assert!(received.into_iter().eq(1..=1_050));
    socket.expect_nothing().await;
}

/// Subscriptions begin while events are appended: each socket gets each event after its head once.
#[tokio::test]
async fn no_event_falls_between_what_is_read_and_what_comes() {
    const EVENTS: i64 = 300;
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let appending = async {
        for _ in 0..EVENTS {
            append(&app, &stream, 1).await.expect("appended");
        }
    };
    let following = async {
        for _ in 0..30 {
            let streams = json!([{"stream": stream, "after": 0}]);
            let mut socket = Socket::with(&app, &ada, json!({"streams": streams})).await;
            socket.expect("subscribed").await;
            // Again on the same socket: what was sent before the answer is of the first subscription.
            let head = socket.sequences(&stream, 1).await[0];
            assert_eq!(head, 1);
            socket.send(json!({"type": "subscribe", "id": 2, "streams": streams})).await;
            loop {
                let frame = socket.next().await;
                if frame["type"] == "subscribed" {
                    break;
                }
            }
            let received = socket.sequences(&stream, 20).await;
            assert!(received.iter().copied().eq(1..=20), "{received:?}");
        }
    };
    // At least 20 events are there before anything is followed.
    append(&app, &stream, 20).await.expect("appended");
    tokio::join!(appending, following);
    let mut socket =
        Socket::with(&app, &ada, json!({"streams": [{"stream": stream, "after": 0}]})).await;
    socket.expect("subscribed").await;
    let received = socket.sequences(&stream, usize::try_from(EVENTS).expect("few") + 20).await;
    assert!(received.into_iter().eq(1..=EVENTS + 20));
}

#[tokio::test]
async fn many_followers_get_the_same_events_in_their_languages() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut sockets = Vec::new();
    for (protocol, language) in
        [("idlewatt.v1.json", "en"), ("idlewatt.v1.msgpack", "ko"), ("idlewatt.v1.json", "ko")]
    {
        let mut socket = Socket::try_open(&app, protocol, &[("Accept-Language", language)])
            .await
            .expect("opened");
        let streams = json!([{"stream": stream_of(&ada)}, {"stream": "announcements"}]);
        socket.hello(&ada, json!({"streams": streams})).await;
        for _ in 0..2 {
            socket.expect("subscribed").await;
        }
        sockets.push((socket, language));
    }
    let notification = |to: Value| {
        json!({
            "to": to, "type": "news", "priority": "low", "title": {"en": "Hello", "ko": "안녕"},
            "body": {"en": "There", "ko": "거기"}
        })
    };
    app.client
        .admin("POST", "/notifications", Some(notification(json!({"players": [ada.id]}))))
        .await
        .expect(202);
    for (socket, language) in &mut sockets {
        let event = socket.expect("event").await["event"].clone();
        assert_eq!(event["type"], "notification.created");
        let expected = if *language == "ko" { "안녕" } else { "Hello" };
        assert_eq!(event["data"]["title"], expected);
    }
    app.client.admin("POST", "/notifications", Some(notification(json!("all")))).await.expect(202);
    for (socket, _) in &mut sockets {
        let event = socket.expect("event").await["event"].clone();
        assert_eq!(event["type"], "announcement.created", "{event}");
    }
    // What the player does elsewhere is told to all tabs.
    ada.post("/me/notifications/read", json!({"announcements_through": 1})).await.expect(200);
    for (socket, _) in &mut sockets {
        assert_eq!(socket.expect("event").await["event"]["type"], "notification.read");
        socket.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_connection_follows_at_most_a_hundred_streams() {
    // With two kinds of streams, the limit can only be reached by asking again for the same ones, which counts once.
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    for _ in 0..101 {
        let answers = socket.subscribe(json!([{"stream": "announcements"}])).await;
        assert_eq!(answers[0]["type"], "subscribed");
    }
    assert_eq!(app.metric("live_subscriptions"), 1.0);
    append(&app, "announcements", 1).await.expect("appended");
    socket.sequence("announcements").await;
    socket.expect_nothing().await;
}

#[tokio::test]
async fn frames_cost_tokens_of_the_player() {
    let options = [("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "3")];
    let app = World::new().await.start_with(&options).await;
    let ada = app.client.guest().await;
    // Hello, subscribe and topic take one each; the fourth is refused.
    let mut socket = Socket::of(&app, &ada).await;
    socket.subscribe(json!([{"stream": "announcements"}])).await;
    socket.send(json!({"type": "topic", "id": 2, "off": ["state"]})).await;
    assert_eq!(socket.expect("done").await["id"], 2);
    socket.send(json!({"type": "subscribe", "id": 3, "streams": []})).await;
    let refused = socket.expect_problem("rate_limited").await;
    assert_eq!((&refused["id"], &refused["problem"]["policy"]), (&json!(3), &json!("player")));
    let result = socket.call("GET", "/me", Value::Null).await;
    assert_eq!((&result["status"], &result["body"]["code"]), (&json!(429), &json!("rate_limited")));
    assert!(result["retry_after_ms"].as_u64().is_some_and(|millis| millis <= 1_000), "{result}");
    // A hello that is refused can be repeated.
    let mut socket = Socket::open(&app).await;
    socket.send(json!({"type": "hello", "token": ada.token})).await;
    socket.expect_problem("rate_limited").await;
    app.advance(1.0);
    socket.hello(&ada, json!({})).await;
    ada.get("/me").await.expect(429);
}

#[tokio::test]
async fn a_database_of_another_epoch_makes_every_follower_start_anew() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 3).await.expect("appended");
    let mut socket = Socket::with(&app, &ada, json!({"streams": [{"stream": stream}]})).await;
    let before = socket.expect("subscribed").await;
    let database = app.world.connect().await;
    // As after a restore: the database has an earlier state, and then another event of the same number.
    let revert = "update streams set head = 2; delete from stream_events where sequence > 2;
                  update deployment set epoch = gen_random_uuid()";
    database.batch_execute(revert).await.expect("reverted");
    let resync = tokio::time::timeout(Duration::from_secs(20), socket.expect("resync"));
    let resync = resync.await.expect("soon");
    assert_eq!((&resync["stream"], &resync["head"]), (&json!(stream), &json!(2)));
    assert_ne!(resync["epoch"], before["epoch"]);
    append(&app, &stream, 1).await.expect("appended");
    assert_eq!(socket.sequence(&stream).await, 3);
    let polled = poll(&ada, &format!("stream={stream}@2")).await.expect(200).json;
    assert_eq!((sequences(&polled), &polled["epoch"]), (vec![3], &resync["epoch"]));
}

/// There is a moment between the one at which another epoch is known and the one at which everything that was read before
/// is forgotten.
#[tokio::test]
async fn what_was_read_of_another_history_is_not_given() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1).await.expect("appended");
    let mut socket = Socket::with(&app, &ada, json!({"streams": [{"stream": stream}]})).await;
    socket.expect("subscribed").await;
    // The server keeps them in memory as long as somebody follows the stream.
    append(&app, &stream, 3).await.expect("appended");
    socket.sequences(&stream, 3).await;
    let other_history = "update stream_events set type = 'test.other';
                         update deployment set epoch = gen_random_uuid()";
    app.world.connect().await.batch_execute(other_history).await.expect("changed");
    // So that the moment lasts.
    app.stop_loops();
    let unread = Unread { since: now(&app), above: 0, missing: Vec::new() };
    app.server.store.pulse(app.server.peers.instance(), &unread).await.expect("read");
    for _ in 0..50 {
        let polled = poll(&ada, &format!("stream={stream}@2")).await.expect(200).json;
        let events = polled["events"].as_array().expect("a list");
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event["type"], "test.other", "{event}");
        }
    }
    socket.expect_nothing().await;
    app.server.streams.begin_epoch(app.server.streams.epoch());
    assert_eq!(socket.expect("resync").await["head"], 4);
}
