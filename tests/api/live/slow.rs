//! Clients that do not read what they are sent.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Socket;
use crate::streams::{append, stream_of};
use crate::support::books::eventually;
use crate::support::{Player, TestApp, World};

/// A client that signs in, follows a stream, and then reads nothing.
async fn deaf(app: &TestApp, player: &Player, stream: &str) -> TcpStream {
    let address = app.client.origin().trim_start_matches("http://");
    let mut tcp = TcpStream::connect(address).await.expect("connected");
    let request = "GET /api/v1/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   Sec-WebSocket-Protocol: idlewatt.v1.json\r\n\r\n";
    let hello = json!({"type": "hello", "token": player.token, "streams": [{"stream": stream, "after": 0}]});
    let payload = hello.to_string();
    // A masked frame whose mask is zero. It is sent together with the request for the upgrade.
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = request.as_bytes().to_vec();
    bytes.extend([0x81, 0xfe, length[0], length[1], 0, 0, 0, 0]);
    bytes.extend(payload.as_bytes());
    tcp.write_all(&bytes).await.expect("sent");
    tcp
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_the_others_are_served() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let mut tcp = deaf(&app, &ada, &stream).await;
    let mut lively =
        Socket::with(&app, &ada, json!({"streams": [{"stream": stream, "after": 0}]})).await;
    lively.expect("subscribed").await;
    eventually("both follow", async || (app.metric("live_subscriptions") == 2.0).then_some(()))
        .await;
    // Each event is some 200 bytes. The kernels take some, 256 KiB wait, and then the connection is closed.
    let mut last = 0;
    while app.metric("live_closes_total{reason=\"too_slow\"}") == 0.0 {
        assert!(last < 60_000, "{last} events waited");
        last = append(&app, &stream, 200).await.expect("appended");
        let received = lively.sequences(&stream, 200).await;
        assert_eq!(received.last(), Some(&last));
        assert!(app.server.live.waiting_bytes() <= 512 * 1024);
    }
    assert_eq!(app.metric("live_connections"), 2.0, "it has ten seconds to read the close frame");
    for _ in 0..10 {
        app.server.live.tick();
    }
    eventually("it is dropped", async || (app.metric("live_connections") == 1.0).then_some(()))
        .await;
    eventually("nothing waits", async || (app.server.live.waiting_bytes() == 0).then_some(()))
        .await;
    let mut rest = Vec::new();
    // The kernel drops what it stored: the connection was reset.
    assert!(tcp.read_to_end(&mut rest).await.is_err());
    lively.expect_nothing().await;
}

#[tokio::test]
async fn a_client_that_wakes_in_time_reads_the_close_frame() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let mut tcp = deaf(&app, &ada, &stream).await;
    eventually("it follows", async || (app.metric("live_subscriptions") == 1.0).then_some(()))
        .await;
    while app.metric("live_closes_total{reason=\"too_slow\"}") == 0.0 {
        append(&app, &stream, 500).await.expect("appended");
    }
    let mut all = Vec::new();
    loop {
        let mut piece = vec![0; 64 * 1024];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => all.extend_from_slice(&piece[..count]),
        }
        if all.ends_with(b"too_slow") {
            break;
        }
    }
    assert!(
        all.ends_with(b"\x88\x0a\x0f\xa1too_slow"),
        "the close frame with code 4001 is the last one"
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_long_is_closed() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let _tcp = deaf(&app, &ada, &stream).await;
    eventually("it follows", async || (app.metric("live_subscriptions") == 1.0).then_some(()))
        .await;
    // More than the kernels take.
    while app.server.live.waiting_bytes() < 128 * 1024 {
        append(&app, &stream, 100).await.expect("appended");
    }
    for _ in 0..29 {
        app.server.live.tick();
    }
    let silent = "live_closes_total{reason=\"silent\"}";
    let slow = "live_closes_total{reason=\"too_slow\"}";
    assert_eq!((app.metric(slow), app.metric(silent)), (0.0, 0.0));
    for _ in 0..3 {
        app.server.live.tick();
    }
    eventually("it is closed", async || (app.metric(slow) == 1.0).then_some(())).await;
}

#[tokio::test]
async fn if_all_sockets_store_too_much_the_fullest_is_closed() {
    let app = World::new().await.start_with(&[("LIVE_BUFFER_MEGABYTES", "1")]).await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let mut deaf_ones = Vec::new();
    for _ in 0..8 {
        deaf_ones.push(deaf(&app, &ada, &stream).await);
    }
    eventually("all follow", async || (app.metric("live_subscriptions") == 8.0).then_some(()))
        .await;
    // Eight times 256 KiB would be two megabytes. What was just added may be above the limit for a moment: only then it shows
    // which sockets take nothing more.
    while app.metric("live_closes_total{reason=\"too_slow\"}") < 4.0 {
        append(&app, &stream, 100).await.expect("appended");
        assert!(app.server.live.waiting_bytes() <= 1024 * 1024 + 512 * 1024);
    }
}
