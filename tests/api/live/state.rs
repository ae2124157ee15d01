//! The topic `state`: every change of the player, from wherever it comes, on every socket that asked for it.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Socket, while_seconds_pass};
use crate::support::books::{eventually, start_for_days};
use crate::support::{Player, TestApp, World};

async fn watching(app: &TestApp, player: &Player) -> (Socket, Value) {
    let mut socket = Socket::with(app, player, json!({"topics": ["state"]})).await;
    let state = socket.expect("state").await["data"].clone();
    (socket, state)
}

/// The next state with this version or a later one.
async fn state_of_version(socket: &mut Socket, version: u64) -> Value {
    loop {
        let state = socket.expect("state").await["data"].clone();
        if state["version"].as_u64() >= Some(version) {
            return state;
        }
    }
}

#[tokio::test]
async fn a_change_is_on_every_socket_of_the_player() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let (mut first, state) = watching(&app, &ada).await;
    assert_eq!(state, ada.state().await);
    let mut second = Socket::try_open(&app, "idlewatt.v1.msgpack", &[]).await.expect("opened");
    second.hello(&ada, json!({"topics": ["state"]})).await;
    assert_eq!(second.expect("state").await["data"]["player_id"], ada.id);
    let (mut other, _) = watching(&app, &bob).await;
    let mut silent = Socket::of(&app, &ada).await;

    ada.click(2).await.expect(200);
    for socket in [&mut first, &mut second] {
        let state = state_of_version(socket, 1).await;
        assert_eq!(state, ada.state().await);
    }
    // By a call over the socket, and by an operator.
    silent.call("PATCH", "/me", json!({"display_name": "Ada of the mill"})).await;
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.expect("state").await["data"]["display_name"], "Ada of the mill");
    }
    ada.grant(500.0).await;
    for socket in [&mut first, &mut second] {
        let state = socket.expect("state").await["data"].clone();
        assert!(state["energy"].as_f64() >= Some(500.0), "{state}");
    }
    other.expect_nothing().await;
    silent.expect_nothing().await;
    // Off, and on again: sent once, also without a change.
    first.send(json!({"type": "topic", "id": 1, "off": ["state"]})).await;
    assert_eq!(first.expect("done").await["id"], 1);
    ada.click(1).await.expect(200);
    state_of_version(&mut second, 2).await;
    first.expect_nothing().await;
    for _ in 0..2 {
        first.send(json!({"type": "topic", "id": 2, "on": ["state"]})).await;
        assert_eq!(first.expect("done").await["id"], 2);
        first.expect("state").await;
    }
    drop((first, second, other, silent));
    eventually("all are closed", async || (app.server.live.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn an_unknown_topic_is_a_problem() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut socket = Socket::open(&app).await;
    socket.hello(&ada, json!({"topics": ["weather", "state"]})).await;
    socket.expect_problem("invalid_request").await;
    socket.expect("state").await;
    socket.send(json!({"type": "topic", "id": 3, "on": ["weather"]})).await;
    assert_eq!(socket.expect_problem("invalid_request").await["id"], 3);
    socket.expect_nothing().await;
}

#[tokio::test]
async fn states_never_go_back_and_the_newest_comes_in_the_end() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let (mut socket, _) = watching(&app, &ada).await;
    let clicking = async {
        for _ in 0..40 {
            ada.click(1).await.expect(200);
        }
    };
    let reading = async {
        let (mut versions, mut last) = (Vec::new(), 0);
        while last < 40 {
            last = socket.expect("state").await["data"]["version"].as_u64().expect("a number");
            versions.push(last);
        }
        versions
    };
    let ((), versions) = tokio::join!(clicking, reading);
    assert!(versions.is_sorted_by(|before, after| before < after), "{versions:?}");
}

#[tokio::test]
async fn a_change_by_time_or_catalogue_is_sent_too() {
    let app = start_for_days(&World::new().await).await;
    let ada = app.client.guest().await;
    app.advance(3_600.0);
    let (mut socket, state) = watching(&app, &ada).await;
    assert!(state["away"].is_object(), "{state}");
    // The absence is reported for a minute.
    let state = while_seconds_pass(&app, socket.expect("state")).await["data"].clone();
    assert_eq!(state["away"], Value::Null, "{state}");
    let mut catalogue = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    catalogue["generators"][0]["name"] = json!("Great crank");
    app.client.admin("PUT", "/catalog", Some(catalogue)).await.expect(200);
    // It comes into force some seconds later.
    while_seconds_pass(&app, socket.expect("state")).await;
}

#[tokio::test]
async fn a_socket_with_the_topic_counts_as_presence() {
    let app = start_for_days(&World::new().await).await;
    let ada = app.client.guest().await;
    ada.grant(200.0).await;
    ada.buy("hand_crank", json!(10)).await.expect(200);
    let (mut socket, _) = watching(&app, &ada).await;
    let before = ada.state().await["energy"].as_f64().expect("a number");
    // Longer than production goes on for an absent player.
    for step in 1..=20 {
        app.advance(1_800.0);
        for _ in 0..5 {
            app.server.live.tick();
        }
        // As an answer to a ping.
        socket.send_message(Message::Pong(Bytes::new())).await;
        let database = app.world.connect().await;
        eventually("presence is written", async || {
            let sql = "select extract(epoch from last_seen_at)::float8 from players where player_id = $1::text::uuid";
            let row = database.query_one(sql, &[&ada.id]).await.expect("the row");
            let now = idlewatt::clock::Clock::now(&*app.world.clock).as_micros() as f64 / 1e6;
            (now - row.get::<_, f64>(0) < 1.0).then_some(())
        })
        .await;
        let energy = ada.state().await["energy"].as_f64().expect("a number");
        let expected = before + 1.5 * 1_800.0 * f64::from(step);
        assert!((energy - expected).abs() < 1.0, "{energy} instead of {expected}");
    }
}

#[tokio::test]
async fn changes_on_another_instance_are_sent_with_redis_and_without() {
    for world in [World::new().await.with_redis(), World::new().await] {
        let (here, there) = (world.start().await, world.start().await);
        let ada = here.client.guest().await;
        let (mut socket, _) = watching(&here, &ada).await;
        for version in 1..=3 {
            ada.at(&there).click(1).await.expect(200);
            // Without messages between the instances, the row is read again when it is no longer fresh.
            let state = while_seconds_pass(&here, state_of_version(&mut socket, version)).await;
            assert_eq!(state["version"], version);
        }
    }
}
