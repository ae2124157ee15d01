//! Presence and absence of players: what the API reports about an absence, how much production is credited for it, and
//! when presence is written. A player is present while it makes calls.

use serde_json::{Value, json};

use crate::support::books::{assert_close, eventually, number, revision, start_for_days};
use crate::support::{Player, TestApp, World};

const HOUR: f64 = 3600.0;
/// The production per second of ten hand cranks.
const RATE: f64 = 1.5;

/// A guest with ten hand cranks, and its energy.
async fn producer(app: &TestApp) -> (Player, f64) {
    let guest = app.client.guest().await;
    guest.grant(200.0).await;
    let bought = guest.buy("hand_crank", json!(10)).await.expect(200);
    assert_close(number(&bought.json["state"]["energy_per_second"]), RATE);
    (guest, number(&bought.json["state"]["energy"]))
}

/// Waits until the row says that the player was present at the current time.
async fn wait_until_written(app: &TestApp, database: &tokio_postgres::Client, player: &Player) {
    use idlewatt::clock::Clock;
    let sql = "select (extract(epoch from last_seen_at) * 1000000)::bigint from players \
        where player_id = $1::text::uuid";
    let now = app.world.clock.now().as_micros();
    eventually("presence is written", async || {
        let row = database.query_one(sql, &[&player.id]).await.expect("the row");
        (row.get::<_, i64>(0) == now).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_absence_of_more_than_a_minute_is_reported() {
    let app = TestApp::new().await;
    let (guest, energy) = producer(&app).await;
    app.advance(60.0);
    assert_eq!(guest.state().await["away"], Value::Null, "an absence of a minute was reported");
    app.advance(61.0);
    let state = guest.state().await;
    assert_eq!(
        (&state["away"]["seconds"], &state["away"]["credited_seconds"]),
        (&json!(61.0), &json!(61.0))
    );
    assert_close(number(&state["away"]["energy"]), 61.0 * RATE);
    assert_close(number(&state["energy"]), energy + 121.0 * RATE);
}

#[tokio::test]
async fn a_player_who_polls_every_ten_seconds_is_never_absent() {
    let app = TestApp::new().await;
    let (guest, energy) = producer(&app).await;
    for polls in 1..=40 {
        app.advance(10.0);
        let state = guest.state().await;
        assert_eq!(state["away"], Value::Null, "at poll {polls}");
        assert_close(number(&state["energy"]), energy + RATE * 10.0 * f64::from(polls));
    }
}

#[tokio::test]
async fn an_absence_is_reported_for_thirty_seconds_of_presence() {
    let app = TestApp::new().await;
    let (guest, _) = producer(&app).await;
    app.advance(100.0);
    for (seconds, reported) in
        [(0.0, true), (10.0, true), (19.5, true), (0.5, false), (10.0, false)]
    {
        app.advance(seconds);
        let state = guest.state().await;
        assert_eq!(!state["away"].is_null(), reported, "{state}");
    }
}

#[tokio::test]
async fn an_absence_is_reported_until_the_next_mutation() {
    let app = TestApp::new().await;
    let (guest, _) = producer(&app).await;
    app.advance(100.0);
    assert_eq!(guest.state().await["away"]["seconds"], 100.0);
    guest.buy("dyson_swarm", json!(1)).await.expect_problem(409, "insufficient_energy");
    assert_eq!(guest.state().await["away"]["seconds"], 100.0, "a refusal ended the report");
    assert_eq!(guest.click(1).await.expect(200).json["state"]["away"], Value::Null);
    assert_eq!(guest.state().await["away"], Value::Null);
    app.advance(200.0);
    let returning = guest.click(1).await.expect(200);
    assert_eq!(
        returning.json["state"]["away"]["seconds"], 200.0,
        "the mutation that ends the absence does not report it"
    );
    assert_eq!(guest.click(1).await.expect(200).json["state"]["away"], Value::Null);
}

#[tokio::test]
async fn an_absence_beyond_the_cap_is_reported_but_not_credited() {
    let app = start_for_days(&World::new().await).await;
    let (guest, energy) = producer(&app).await;
    app.advance(20.0 * HOUR);
    let state = guest.state().await;
    assert_eq!(
        (&state["away"]["seconds"], &state["away"]["credited_seconds"]),
        (&json!(20.0 * HOUR), &json!(8.0 * HOUR))
    );
    assert_close(number(&state["away"]["energy"]), 8.0 * HOUR * RATE);
    assert_close(number(&state["energy"]), energy + 8.0 * HOUR * RATE);
    let guest = guest.refreshed().await;
    app.advance(20.0 * HOUR);
    let clicked = guest.click(10).await.expect(200);
    assert_close(number(&clicked.json["state"]["energy"]), energy + 16.0 * HOUR * RATE + 10.0);
    assert_close(number(&guest.state().await["energy"]), energy + 16.0 * HOUR * RATE + 10.0);
}

#[tokio::test]
async fn an_operators_grant_does_not_count_as_presence() {
    let app = start_for_days(&World::new().await).await;
    let (guest, energy) = producer(&app).await;
    for _ in 0..5 {
        app.advance(4.0 * HOUR);
        guest.grant(1.0).await;
        app.client.admin("GET", &format!("/players/{}", guest.id), None).await.expect(200);
        app.client.call("GET", &format!("/players/{}", guest.id), "", None).await.expect(200);
    }
    let state = guest.state().await;
    assert_close(number(&state["energy"]), energy + 5.0 + 8.0 * HOUR * RATE);
    assert_eq!(
        (&state["away"]["seconds"], &state["away"]["credited_seconds"]),
        (&json!(20.0 * HOUR), &json!(8.0 * HOUR))
    );
    assert_close(number(&state["away"]["energy"]), 8.0 * HOUR * RATE);
}

#[tokio::test]
async fn production_continues_for_a_player_who_polls() {
    let app = start_for_days(&World::new().await).await;
    let (guest, energy) = producer(&app).await;
    for hours in 1..=20 {
        app.advance(HOUR);
        assert_close(
            number(&guest.state().await["energy"]),
            energy + f64::from(hours) * HOUR * RATE,
        );
    }
}

#[tokio::test]
async fn reads_write_only_presence_about_once_a_minute() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let (guest, _) = producer(&app).await;
    let before = revision(&database, &guest).await;
    for _ in 0..4 {
        app.advance(10.0);
        for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions"] {
            guest.get(path).await.expect(200);
        }
        guest.buy("dyson_swarm", json!(1)).await.expect(409);
    }
    assert_eq!(revision(&database, &guest).await, before);
    for _ in 0..60 {
        app.advance(10.0);
        guest.state().await;
    }
    let writes = revision(&database, &guest).await - before;
    assert!((9..=13).contains(&writes), "{writes} writes in eleven minutes");
    assert_eq!(guest.state().await["version"], 2);
}

#[tokio::test]
async fn every_authenticated_read_counts_as_presence() {
    let world = World::new().await;
    let app = start_for_days(&world).await;
    let database = world.connect().await;
    for path in ["/me/ledger", "/auth/sessions", "/me/export"] {
        let (guest, energy) = producer(&app).await;
        for _ in 0..10 {
            app.advance(HOUR);
            guest.get(path).await.expect(200);
            wait_until_written(&app, &database, &guest).await;
        }
        let state = guest.state().await;
        assert_close(number(&state["energy"]), energy + 10.0 * HOUR * RATE);
        assert_eq!(state["away"]["seconds"], HOUR, "calls of {path} did not count as presence");
    }
}

#[tokio::test]
async fn a_player_who_reads_the_ledger_every_ten_seconds_is_never_absent() {
    let app = TestApp::new().await;
    let (guest, _) = producer(&app).await;
    app.advance(40.0);
    for reads in 1..=20 {
        guest.get("/me/ledger").await.expect(200);
        // The grant is executed by the same lane after the read, so the presence is recorded when it is answered. The
        // grant itself does not count as presence.
        guest.grant(1.0).await;
        let profile = app.client.admin("GET", &format!("/players/{}", guest.id), None).await;
        assert_eq!(profile.expect(200).json["state"]["away"], Value::Null, "at read {reads}");
        app.advance(10.0);
    }
}

#[tokio::test]
async fn a_refused_request_counts_as_presence() {
    let app = start_for_days(&World::new().await).await;
    let requests = [
        ("/me/generators/dyson_swarm/purchase", json!({ "quantity": 1 }), 409),
        ("/me/prestige", json!({ "expected_version": 77 }), 409),
        ("/me/actions", json!({ "actions": [{ "type": "buy_upgrade", "id": "nothing" }] }), 200),
    ];
    for (path, body, status) in requests {
        let (guest, energy) = producer(&app).await;
        for _ in 0..10 {
            app.advance(HOUR);
            guest.post(path, body.clone()).await.expect(status);
        }
        let state = guest.state().await;
        assert_close(number(&state["energy"]), energy + 10.0 * HOUR * RATE);
        assert_eq!(state["version"], 2, "a refused request changed the version");
    }
}
