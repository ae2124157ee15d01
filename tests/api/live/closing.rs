//! The end of connections: sessions that end, players that go, silence, too many connections, and a server that stops.

use serde_json::{Value, json};

use super::{Socket, while_seconds_pass};
use crate::streams::{append, stream_of};
use crate::support::books::eventually;
use crate::support::{TestApp, World};

#[tokio::test]
async fn the_end_of_a_session_closes_its_sockets_on_every_instance() {
    for world in [World::new().await.with_redis(), World::new().await] {
        let (here, there) = (world.start().await, world.start().await);
        for end in ["logout", "ban", "delete"] {
            let ada = here.client.guest().await;
            let mut sockets = [Socket::of(&here, &ada).await, Socket::of(&there, &ada).await];
            let bob = here.client.guest().await;
            let mut other = Socket::of(&there, &bob).await;
            let reason = match end {
                "logout" => {
                    ada.post("/auth/logout", json!({})).await.expect(204);
                    "session_ended"
                }
                "ban" => {
                    let path = format!("/players/{}/ban", ada.id);
                    let body = json!({"reason": "cheating"});
                    here.client.admin("POST", &path, Some(body)).await.expect(204);
                    "player_banned"
                }
                _ => {
                    here.client.call("DELETE", "/me", &ada.token, None).await.expect(204);
                    "player_deleted"
                }
            };
            for socket in &mut sockets {
                assert_eq!(socket.closed().await, (4500, reason.to_owned()), "{end}");
            }
            other.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn a_player_has_ten_connections() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut sockets = Vec::new();
    for _ in 0..11 {
        sockets.push(Socket::of(&app, &ada).await);
    }
    assert_eq!(sockets[0].closed().await.0, 4003);
    for socket in &mut sockets[1..] {
        socket.expect_nothing().await;
    }
    assert_eq!(app.metric("live_closes_total{reason=\"replaced\"}"), 1.0);
}

#[tokio::test]
async fn clients_that_say_nothing_are_closed() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut silent = Socket::open(&app).await;
    assert_eq!(while_seconds_pass(&app, silent.closed()).await.0, 4002);
    // One that answers pings stays; one that does not is closed after 33 seconds.
    let mut lively = Socket::of(&app, &ada).await;
    let mut dead = Socket::of(&app, &ada).await;
    for _ in 0..33 {
        app.server.live.tick();
        lively.expect_nothing().await;
    }
    assert_eq!(while_seconds_pass(&app, dead.closed()).await.0, 4002);
    lively.expect_nothing().await;
}

#[tokio::test]
async fn what_ends_with_a_connection_ends() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for _ in 0..3 {
        let streams = json!([{"stream": stream_of(&ada)}, {"stream": "announcements"}]);
        let socket =
            Socket::with(&app, &ada, json!({"topics": ["state"], "streams": streams})).await;
        assert_eq!(app.metric("live_connections"), 1.0);
        drop(socket);
        eventually("it is closed", async || (app.server.live.open() == 0).then_some(())).await;
        assert_eq!((app.metric("live_connections"), app.metric("live_subscriptions")), (0.0, 0.0));
        assert_eq!((app.server.streams.followed(), app.server.live.waiting_bytes()), (0, 0));
    }
}

#[tokio::test]
async fn a_server_that_stops_closes_sockets_spread_over_a_time() {
    let world = World::new().await;
    let app = world.start_with(&[("LIVE_DRAIN_SECONDS", "1")]).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let ada = app.client.guest().await;
        sockets.push((
            Socket::with(&app, &ada, json!({"streams": [{"stream": stream_of(&ada)}]})).await,
            ada,
        ));
    }
    for (socket, _) in &mut sockets {
        socket.expect("subscribed").await;
    }
    // A call is in flight: it is answered before its connection is closed.
    let mut database = world.connect().await;
    let transaction = database.transaction().await.expect("begun");
    transaction.execute("select from players for update", &[]).await.expect("locked");
    let click = json!({
        "type": "call", "id": 1, "method": "POST", "path": "/me/clicks", "body": {"clicks": 1}
    });
    sockets[0].0.send(click).await;
    app.server.health.drain();
    let refused = Socket::try_open(&app, "idlewatt.v1.json", &[]).await;
    assert_eq!(refused.err().map(|refused| refused.status), Some(503));
    let draining = async {
        let drained = app.server.live.drain();
        let meanwhile = async {
            for (socket, _) in &mut sockets {
                let goaway = socket.expect("goaway").await;
                assert!(goaway["reconnect_in_ms"].as_u64().is_some(), "{goaway}");
            }
            // Events still come after it.
            let (socket, ada) = &mut sockets[1];
            append(&app, &stream_of(ada), 1).await.expect("appended");
            let frame = socket.next_message().await;
            let text = frame.to_text().unwrap_or_default();
            let event: Value = serde_json::from_str(text).unwrap_or_default();
            assert!(event["type"] == "event" || frame.is_close(), "{frame}");
            transaction.rollback().await.expect("unlocked");
            let result = sockets[0].0.expect("result").await;
            assert_eq!(result["status"], 200, "{result}");
            for (index, (socket, _)) in sockets.iter_mut().enumerate() {
                if index != 1 || !frame.is_close() {
                    assert_eq!(socket.closed().await.0, 4000);
                }
            }
        };
        tokio::join!(drained, meanwhile)
    };
    draining.await;
    drop(sockets);
    eventually("all are closed", async || (app.server.live.open() == 0).then_some(())).await;
    assert_eq!(app.metric("live_closes_total{reason=\"draining\"}"), 20.0);
}
