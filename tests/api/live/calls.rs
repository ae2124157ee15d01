//! Calls over a socket.

use serde_json::{Value, json};

use super::Socket;
use crate::support::books::{eventually, number};
use crate::support::{TestApp, World};

#[tokio::test]
async fn a_call_is_the_same_as_over_http() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for protocol in ["idlewatt.v1.json", "idlewatt.v1.msgpack"] {
        let mut socket = Socket::try_open(&app, protocol, &[]).await.expect("opened");
        socket.hello(&ada, json!({})).await;
        let result = socket.call("GET", "/me", Value::Null).await;
        let over_http = ada.get("/me").await.expect(200);
        assert_eq!((&result["status"], &result["body"]), (&json!(200), &over_http.json));
        assert_eq!(result["etag"], over_http.header("etag"));
        assert!(result["request_id"].as_str().is_some_and(|id| id.len() == 36), "{result}");
        let before = number(&over_http.json["energy"]);
        let result = socket.call("POST", "/me/clicks", json!({"clicks": 3})).await;
        assert_eq!((&result["status"], &result["body"]["accepted"]), (&json!(200), &json!(3)));
        assert!(number(&result["body"]["state"]["energy"]) > before);
        let result = socket.call("DELETE", "/me/notifications/none", Value::Null).await;
        assert_eq!(
            (&result["status"], &result["body"]["code"]),
            (&json!(404), &json!("not_found"))
        );
        let result = socket.call("POST", "/me/clicks", json!({"clicks": "three"})).await;
        assert_eq!(result["body"]["code"], "invalid_request");
        let result = socket.call("PUT", "/me/clicks", Value::Null).await;
        assert_eq!(result["body"]["code"], "method_not_allowed");
        let result = socket.call("GET", "/me/ledger?limit=1000", Value::Null).await;
        assert_eq!(result["body"]["errors"][0]["field"], "limit");
        let settings = json!({"muted_types": ["news"]});
        let result = socket.call("PUT", "/me/notification-settings", settings.clone()).await;
        assert_eq!((&result["status"], &result["body"]), (&json!(200), &settings));
        app.advance(10.0);
    }
    // Calls are counted as requests of their routes.
    let counted = "http_requests_total{method=\"POST\",route=\"/api/v1/me/clicks\",status=\"200\"}";
    assert_eq!(app.metric(counted), 2.0);
}

#[tokio::test]
async fn answers_without_a_body_have_null() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    let result = socket.call("DELETE", "/me", Value::Null).await;
    assert_eq!((&result["status"], &result["body"]), (&json!(204), &Value::Null));
    assert_eq!(socket.closed().await, (4500, "player_deleted".to_owned()));
}

#[tokio::test]
async fn a_key_is_the_same_over_http_and_both_codecs() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let call = |id: u64, clicks: Value| {
        json!({
            "type": "call", "id": id, "method": "POST", "path": "/me/clicks", "body": {"clicks": clicks},
            "idempotency_key": "k"
        })
    };
    ada.post_keyed("/me/clicks", "k", json!({"clicks": 2})).await.expect(200);
    for protocol in ["idlewatt.v1.json", "idlewatt.v1.msgpack"] {
        let mut socket = Socket::try_open(&app, protocol, &[]).await.expect("opened");
        socket.hello(&ada, json!({})).await;
        socket.send(call(1, json!(2))).await;
        let result = socket.expect("result").await;
        assert_eq!((&result["status"], &result["replayed"]), (&json!(200), &json!(true)));
        socket.send(call(2, json!(3))).await;
        let result = socket.expect("result").await;
        assert_eq!(result["body"]["code"], "idempotency_key_reused");
        let mut frame = call(3, json!(2));
        frame["idempotency_key"] = json!("with a space");
        socket.send(frame).await;
        assert_eq!(socket.expect("result").await["status"], 400);
    }
    assert_eq!(ada.state().await["version"], 1);
}

#[tokio::test]
async fn only_json_of_the_player_can_be_called() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    for path in ["/auth/sessions", "/admin/players", "/me/export", "/catalog", "/live", "me", ""] {
        let result = socket.call("GET", path, Value::Null).await;
        assert_eq!(
            (&result["status"], &result["body"]["code"]),
            (&json!(400), &json!("invalid_request"))
        );
        assert_eq!(result["body"]["errors"][0]["field"], "path", "{path}");
    }
    for (method, path) in [("GET", "/me/with space"), ("B AD", "/me"), ("GET", "/me/\u{1f600}")] {
        let result = socket.call(method, path, Value::Null).await;
        assert_eq!(result["body"]["code"], "invalid_request", "{method} {path}");
    }
    // Rooms and channels do not exist yet.
    let result = socket.call("GET", "/rooms/1", Value::Null).await;
    assert_eq!(result["status"], 404);
    // An operator's token does not help.
    let result = socket.call("GET", "/me/../admin/players", Value::Null).await;
    assert_eq!(result["status"], 404);
}

#[tokio::test]
async fn eight_calls_may_be_in_flight() {
    let world = World::new().await;
    let app = world.start().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    // The player's row is locked, so clicks wait.
    let mut database = world.connect().await;
    let transaction = database.transaction().await.expect("begun");
    transaction.execute("select from players for update", &[]).await.expect("locked");
    for id in 0..9 {
        socket
            .send(json!({
                "type": "call", "id": id, "method": "POST", "path": "/me/clicks", "body": {"clicks": 1}
            }))
            .await;
    }
    let ninth = socket.expect("result").await;
    assert_eq!((&ninth["id"], &ninth["status"]), (&json!(8), &json!(429)));
    assert_eq!(ninth["body"]["policy"], "calls");
    assert_eq!(ninth["retry_after_ms"], ninth["body"]["retry_after_ms"]);
    // The socket is served meanwhile.
    socket.expect_nothing().await;
    transaction.rollback().await.expect("unlocked");
    let mut answered = Vec::new();
    for _ in 0..8 {
        let result = socket.expect("result").await;
        assert_eq!(result["status"], 200, "{result}");
        answered.push(result["id"].as_i64().expect("a number"));
    }
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..8));
    let result = socket.call("GET", "/me", Value::Null).await;
    assert_eq!(result["status"], 200);
}

#[tokio::test]
async fn a_renewed_token_is_used_and_an_expired_one_ends_the_connection() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let mut socket = Socket::of(&app, &ada).await;
    app.advance(800.0);
    let fresh = ada.refreshed().await;
    socket.send(json!({"type": "token", "id": 1, "token": "nonsense"})).await;
    socket.expect_problem("unauthenticated").await;
    socket.send(json!({"type": "token", "id": 2, "token": fresh.token})).await;
    assert_eq!(socket.expect("done").await["id"], 2);
    app.advance(200.0);
    app.server.live.tick();
    let result = socket.call("GET", "/me", Value::Null).await;
    assert_eq!(result["status"], 200, "{result}");
    app.advance(701.0);
    app.server.live.tick();
    assert_eq!(socket.closed().await.0, 4004);
    let ada = fresh.refreshed().await;
    let bob = bob.refreshed().await;
    let mut socket = Socket::of(&app, &ada).await;
    socket.send(json!({"type": "token", "id": 1, "token": bob.token})).await;
    assert_eq!(socket.closed().await.0, 4500);
}

#[tokio::test]
async fn a_call_of_a_client_that_goes_away_is_carried_out() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::of(&app, &ada).await;
    let call = json!({
        "type": "call", "id": 1, "method": "POST", "path": "/me/clicks", "body": {"clicks": 1}
    });
    socket.send(call).await;
    drop(socket);
    eventually("the click is stored", async || (ada.state().await["version"] == 1).then_some(()))
        .await;
}
