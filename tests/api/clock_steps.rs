//! The database's clock steps back: play continues, and nothing is paid twice.

use std::sync::Arc;
use std::time::Instant;

use idlewatt::clock::{Clock, DatabaseClock};
use serde_json::json;

use crate::support::books::eventually;
use crate::support::{UNLIMITED, World};

/// Shorter than the lifetime of an access token.
const STEP: f64 = 600.0;

#[tokio::test]
async fn after_a_clock_step_clicks_continue_and_production_waits() {
    let world = World::new().await;
    // In tests the limits use the same clock; in a server a step of the database's clock does not affect them.
    let app = world.start_with(UNLIMITED).await;
    let ada = app.client.guest().await;
    ada.grant(1000.0).await;
    ada.buy("hand_crank", json!(10)).await.expect(200);
    world.advance(STEP);
    ada.click(40).await.expect(200);
    let before = ada.state().await;
    world.advance(-STEP);
    let energy = |state: &serde_json::Value| state["energy"].as_f64().expect("a number");
    assert_eq!(energy(&ada.state().await), energy(&before));
    let mut expected = energy(&before);
    // The bucket is empty at first and fills as usual.
    for (seconds, accepted) in [(0.0, 0.0), (1.0, 20.0), (0.5, 10.0), (60.0, 40.0)] {
        world.advance(seconds);
        let clicked = ada.click(100).await.expect(200).json;
        expected += accepted;
        assert_eq!(clicked["accepted"].as_f64(), Some(accepted), "{clicked}");
        assert_eq!(energy(&clicked["state"]), expected);
    }
    let bought = ada.buy("hand_crank", json!(1)).await.expect(200).json;
    expected = energy(&bought["state"]);
    assert!(expected > 0.0);
    // A new player is not affected.
    let eve = app.client.guest().await;
    assert_eq!(eve.click(5).await.expect(200).json["accepted"], 5);
    // At the time before the step, and a minute later.
    world.advance(STEP - 61.5);
    assert_eq!(energy(&ada.state().await), expected);
    world.advance(60.0);
    let rate = ada.state().await["energy_per_second"].as_f64().expect("a rate");
    let gained = energy(&ada.state().await) - expected;
    assert!(rate > 0.0 && (gained - 60.0 * rate).abs() < 1e-6, "{gained} at {rate}");
    app.stop().await;
}

#[tokio::test]
async fn a_backward_clock_step_is_in_the_metrics() {
    let clock = Arc::new(DatabaseClock::new());
    let app = World::new().await.start_with_clock(&[], Arc::clone(&clock) as Arc<dyn Clock>).await;
    let behind = || app.metric("database_clock_behind_seconds");
    assert_eq!(behind(), 0.0);
    // As if the database's clock had been ahead by ten minutes; the next poll returns its true time.
    let now = Instant::now();
    clock.observe(clock.now().plus_seconds(STEP), now, now);
    eventually("the step is noticed", async || (behind() > 0.0).then_some(())).await;
    assert!((STEP - 60.0..=STEP).contains(&behind()), "{}", behind());
    // Mutations are accepted again after the next poll.
    let player = eventually("a player", async || {
        let reply = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
        (reply.status == 201).then(|| crate::support::Player::of(&app.client, &reply))
    })
    .await;
    eventually("play goes on", async || (player.click(1).await.status == 200).then_some(())).await;
    app.stop().await;
}
