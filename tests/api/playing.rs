//! Playing: from nothing to a bought generator and on.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_guest_clicks_buys_and_watches_energy_rise() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let state = guest.state().await;
    assert_eq!((&state["energy"], &state["version"]), (&json!(0.0), &json!(0)));
    let clicked = guest.click(30).await.expect(200);
    assert_eq!(clicked.json["accepted"], 30);
    assert_eq!(clicked.json["state"]["version"], 1);
    let bought = guest.buy("hand_crank", json!("max")).await.expect(200);
    let owned = bought.json["purchased"].as_u64().expect("a count");
    assert!(owned >= 2, "{}", bought.text);
    assert_eq!(bought.json["state"]["generators"][0]["owned"], owned);
    app.advance(10.0);
    let later = guest.state().await;
    let rate = later["energy_per_second"].as_f64().expect("a rate");
    let before = bought.json["state"]["energy"].as_f64().expect("an amount");
    let after = later["energy"].as_f64().expect("an amount");
    assert!(
        (after - before - rate * 10.0).abs() < 1e-9,
        "{before} + 10 s at {rate} is not {after}"
    );
    assert_eq!(later["version"], 2, "reading changes nothing");
}
