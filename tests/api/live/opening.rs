//! Opening sockets, and signing in.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Refused, Socket, is_time};
use crate::support::books::eventually;
use crate::support::{TestApp, World};

const JSON: &str = "idlewatt.v1.json";

#[tokio::test]
async fn a_player_signs_in_with_both_codecs() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let epoch = ada.get("/me/streams").await.expect(200).json["epoch"].clone();
    let mut connections = Vec::new();
    for protocol in [JSON, "idlewatt.v1.msgpack", "chat, idlewatt.v1.msgpack, idlewatt.v1.json"] {
        let mut socket = Socket::try_open(&app, protocol, &[]).await.expect("opened");
        let welcome = socket.hello(&ada, json!({"unknown": [1]})).await;
        assert_eq!((&welcome["player_id"], &welcome["epoch"]), (&json!(ada.id), &epoch));
        assert_eq!(
            (&welcome["ping_seconds"], &welcome["max_frame_bytes"]),
            (&json!(25), &json!(16_384))
        );
        assert!(is_time(&welcome["server_time"]), "{welcome}");
        connections.push(welcome["connection"].as_str().expect("an id").to_owned());
        socket.expect_nothing().await;
    }
    connections.dedup();
    assert_eq!(connections.len(), 3);
    eventually("all are closed", async || (app.server.live.open() == 0).then_some(())).await;
    assert_eq!(app.metric("live_connections"), 0.0);
}

async fn refused(app: &TestApp, protocol: &str, headers: &[(&str, &str)]) -> Refused {
    match Socket::try_open(app, protocol, headers).await {
        Ok(_) => panic!("opened with {protocol:?} and {headers:?}"),
        Err(refused) => refused,
    }
}

#[tokio::test]
async fn an_upgrade_needs_a_known_protocol_and_an_allowed_origin() {
    let app = World::new()
        .await
        .start_with(&[
            ("CORS_ALLOWED_ORIGINS", "https://play.example.org"),
            ("TRUSTED_PROXY_HOPS", "1"),
        ])
        .await;
    for protocol in ["", "chat", "idlewatt.v2.json", "idlewatt"] {
        let refused = refused(&app, protocol, &[]).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("invalid_request")));
        assert_eq!(refused.body["errors"][0]["field"], "sec-websocket-protocol");
        assert_eq!(refused.body["request_id"].as_str(), refused.request_id.as_deref());
    }
    let own = app.client.origin().to_owned();
    let forwarded = ("X-Forwarded-Host", "game.example.net");
    for headers in [
        &[][..],
        &[("Origin", own.as_str())],
        &[("Origin", "https://play.example.org")],
        &[("Origin", "https://game.example.net"), forwarded],
        &[("Origin", "https://game.example.net:443"), forwarded],
    ] {
        assert!(Socket::try_open(&app, JSON, headers).await.is_ok(), "{headers:?}");
    }
    for headers in [
        &[("Origin", "null")][..],
        &[("Origin", "http://127.0.0.1")],
        &[("Origin", "https://play.example.org.evil.com")],
        &[("Origin", own.as_str()), forwarded],
        &[("Origin", "file:///etc")],
    ] {
        let refused = refused(&app, JSON, headers).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (403, &json!("forbidden")),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_as_any_request() {
    let app = TestApp::new().await;
    let plain = app.client.send(app.client.request("GET", "/api/v1/live")).await;
    plain.expect_problem(400, "invalid_request");
    app.client
        .send(app.client.request("POST", "/api/v1/live"))
        .await
        .expect_problem(405, "method_not_allowed");
    // A request for an upgrade elsewhere is answered as without it, and the connection is closed.
    let upgrade = |path: &str, more: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
        )
    };
    app.client.send_raw(upgrade("/api/v1/nothing", "")).await.expect_problem(404, "not_found");
    let catalog = app.client.send_raw(upgrade("/api/v1/catalog", "")).await.expect(200);
    assert!(catalog.json["generators"].is_array());
    app.client.send_raw(upgrade("/healthz", "")).await.expect(200);
    let protocol = "Sec-WebSocket-Protocol: idlewatt.v1.json\r\n";
    for (from, to) in [
        ("Version: 13", "Version: 8"),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
    ] {
        let request = upgrade("/api/v1/live", protocol).replace(from, to);
        let reply = app.client.send_raw(request).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.header("sec-websocket-version") == "13", to == "Version: 8");
    }
}

#[tokio::test]
async fn sockets_are_off_with_live_off() {
    let app = World::new().await.start_with(&[("LIVE", "off")]).await;
    let refused = refused(&app, JSON, &[]).await;
    assert_eq!((refused.status, &refused.body["code"]), (404, &json!("not_found")));
    // Polling works.
    let ada = app.client.guest().await;
    ada.get("/events?stream=announcements@0").await.expect(200);
}

#[tokio::test]
async fn sockets_are_limited_by_instance_address_and_rate() {
    let options = [
        ("LIVE_MAX_CONNECTIONS", "3"),
        ("LIVE_CONNECTIONS_PER_ADDRESS", "2"),
        ("TRUSTED_PROXY_HOPS", "1"),
    ];
    let app = World::new().await.start_with(&options).await;
    let from = |address: &'static str| [("X-Forwarded-For", address)];
    let first = Socket::try_open(&app, JSON, &from("192.0.2.1")).await.expect("opened");
    let _second = Socket::try_open(&app, JSON, &from("192.0.2.1")).await.expect("opened");
    let full = refused(&app, JSON, &from("192.0.2.1")).await;
    assert_eq!((full.status, &full.body["code"]), (503, &json!("unavailable")));
    assert!(full.retry_after.is_some());
    let _third = Socket::try_open(&app, JSON, &from("192.0.2.2")).await.expect("opened");
    assert_eq!(refused(&app, JSON, &from("192.0.2.3")).await.status, 503);
    drop(first);
    eventually("there is room", async || {
        Socket::try_open(&app, JSON, &from("192.0.2.1")).await.ok().map(drop)
    })
    .await;

    let options = [
        ("RATE_LIMIT_LIVE_PER_SECOND", "1"),
        ("RATE_LIMIT_LIVE_BURST", "2"),
        ("TRUSTED_PROXY_HOPS", "1"),
    ];
    let app = World::new().await.start_with(&options).await;
    for _ in 0..2 {
        drop(Socket::try_open(&app, JSON, &from("192.0.2.1")).await.expect("opened"));
    }
    let limited = refused(&app, JSON, &from("192.0.2.1")).await;
    assert_eq!((limited.status, &limited.body["policy"]), (429, &json!("live")));
    assert!(limited.retry_after.is_some());
    assert!(Socket::try_open(&app, JSON, &from("192.0.2.2")).await.is_ok());
    app.advance(1.0);
    assert!(Socket::try_open(&app, JSON, &from("192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn the_first_frame_is_hello_and_only_one() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::open(&app).await;
    for frame in [
        json!({"type": "subscribe", "id": 1, "streams": []}),
        json!({"type": "topic", "id": 1, "on": ["state"]}),
        json!({"type": "call", "id": 1, "method": "GET", "path": "/me"}),
        json!({"type": "token", "id": 1, "token": ada.token}),
    ] {
        socket.send(frame).await;
        assert_eq!(socket.expect_problem("unauthenticated").await["id"], 1);
    }
    socket.expect_nothing().await;
    socket.hello(&ada, json!({})).await;
    socket.send(json!({"type": "hello", "id": 2, "token": ada.token})).await;
    assert_eq!(socket.expect_problem("invalid_request").await["id"], 2);
}

#[tokio::test]
async fn a_hello_needs_a_valid_token() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::open(&app).await;
    socket.send(json!({"type": "hello", "token": "nonsense"})).await;
    socket.expect_problem("unauthenticated").await;
    assert_eq!(socket.closed().await, (4500, "unauthenticated".to_owned()));
    ada.post("/auth/logout", json!({})).await.expect(204);
    let mut socket = Socket::open(&app).await;
    socket.send(json!({"type": "hello", "token": ada.token})).await;
    socket.expect_problem("unauthenticated").await;
    assert_eq!(socket.closed().await, (4500, "session_ended".to_owned()));
    let bob = app.client.guest().await;
    app.advance(901.0);
    let mut socket = Socket::open(&app).await;
    socket.send(json!({"type": "hello", "token": bob.token})).await;
    socket.expect_problem("token_expired").await;
    assert_eq!(socket.closed().await.0, 4004);
}

#[tokio::test]
async fn frames_that_cannot_be_read_get_problems_and_ten_in_a_row_end_the_connection() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    let wrong = [
        Message::Text("nonsense".into()),
        Message::Text("[]".into()),
        Message::Binary(vec![1].into()),
        Message::Text(json!({"type": "dance", "id": 3}).to_string().into()),
        Message::Text(json!({"type": "subscribe", "id": 3}).to_string().into()),
    ];
    for message in &wrong {
        socket.send_message(message.clone()).await;
        socket.expect_problem("invalid_request").await;
    }
    socket.send_message(Message::Text("x".repeat(16 * 1024 + 1).into())).await;
    socket.expect_problem("payload_too_large").await;
    // A frame that can be read resets the count.
    socket.send(json!({"type": "ping"})).await;
    socket.expect("pong").await;
    for _ in 0..10 {
        socket.send_message(wrong[0].clone()).await;
    }
    for _ in 0..10 {
        socket.expect_problem("invalid_request").await;
    }
    assert_eq!(socket.closed().await.0, 4501);
    // Refused subscriptions are not unreadable.
    let mut socket = Socket::of(&app, &ada).await;
    for _ in 0..12 {
        let answers = socket.subscribe(json!([{"stream": "chat:unknown"}])).await;
        assert_eq!(answers[0]["problem"]["code"], "not_found");
    }
    socket.expect_nothing().await;
    socket.send_message(Message::Binary(vec![0; 1024 * 1024 + 1].into())).await;
    assert_eq!(socket.closed().await.0, 1009);
}

#[tokio::test]
async fn pings_are_answered_and_close_frames_repeated() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    socket.send_message(Message::Ping(vec![7; 5].into())).await;
    assert_eq!(socket.next_message().await, Message::Pong(vec![7; 5].into()));
    socket.send(json!({"type": "ping", "id": 4})).await;
    let pong = socket.expect("pong").await;
    assert!(pong["id"] == 4 && is_time(&pong["server_time"]), "{pong}");
    // More than one a second are dropped.
    for id in 5..9 {
        socket.send(json!({"type": "ping", "id": id})).await;
    }
    let result = socket.call("GET", "/me/streams", Value::Null).await;
    assert_eq!(result["status"], 200);
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "bye".into(),
    };
    socket.send_message(Message::Close(Some(close))).await;
    assert_eq!(socket.closed().await.0, 1000);
    eventually("it is closed", async || (app.server.live.open() == 0).then_some(())).await;
}
