//! The game's actions: clicks, purchases, prestige, and renaming.

use serde_json::json;

use crate::support::books::{assert_close, count, number, start_for_days};
use crate::support::{TestApp, World};

#[tokio::test]
async fn a_guest_clicks_and_buys_a_generator_which_produces_energy() {
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
    assert_eq!(later["version"], 2, "reading the state changed its version");
}

#[tokio::test]
async fn clicks_beyond_the_rate_are_not_credited_and_the_answer_says_so() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    for (clicks, accepted, energy, version) in
        [(30, 30, 30.0, 1), (30, 10, 40.0, 2), (5, 0, 40.0, 3)]
    {
        let reply = guest.click(clicks).await.expect(200);
        assert_eq!(reply.json["accepted"], accepted);
        assert_eq!(reply.json["state"]["energy"], energy);
        assert_eq!(
            reply.json["state"]["version"], version,
            "every successful click raises the version"
        );
    }
    app.advance(1.0);
    assert_eq!(
        guest.click(1000).await.expect(200).json["accepted"],
        20,
        "one second refills 20 clicks"
    );
    app.advance(50.0);
    let reply = guest.click(1000).await.expect(200);
    assert_eq!(reply.json["accepted"], 40, "at most the 40 clicks of the bucket");
    assert_eq!(reply.json["state"]["lifetime_energy"], 100.0);
}

#[tokio::test]
async fn a_purchase_buys_the_whole_quantity_or_nothing() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.grant(35.0).await;
    let before = guest.state().await;
    let refused =
        guest.buy("hand_crank", json!(4)).await.expect_problem(409, "insufficient_energy");
    assert_close(number(&refused.json["required"]), 46.41);
    assert_eq!(refused.json["available"], 35.0);
    assert_eq!(guest.state().await, before, "a refusal changed the state");
    let bought = guest.buy("hand_crank", json!(3)).await.expect(200);
    assert_eq!(bought.json["purchased"], 3);
    assert_close(number(&bought.json["spent"]), 33.1);
    assert_close(number(&bought.json["state"]["energy"]), 1.9);
    assert_close(number(&bought.json["state"]["generators"][0]["next_cost"]), 13.31);
    guest.buy("hand_crank", json!("max")).await.expect_problem(409, "insufficient_energy");
    guest.buy("perpetuum_mobile", json!(1)).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn max_buys_the_highest_affordable_quantity() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    for grant in [10.0, 999.0, 123_456.789] {
        guest.grant(grant).await;
        let before = number(&guest.state().await["energy"]);
        let bought = guest.buy("hand_crank", json!("max")).await.expect(200);
        let (spent, state) = (number(&bought.json["spent"]), &bought.json["state"]);
        assert!(count(&bought.json["purchased"]) >= 1);
        assert_close(number(&state["energy"]), before - spent);
        let next = number(&state["generators"][0]["next_cost"]);
        assert!(number(&state["energy"]) < next, "one more was affordable: {}", bought.text);
        guest.buy("hand_crank", json!(1)).await.expect_problem(409, "insufficient_energy");
    }
}

#[tokio::test]
async fn an_upgrade_needs_its_requirement_and_cost_and_is_bought_once() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.grant(62.0).await;
    guest.buy_upgrade("work_gloves").await.expect_problem(409, "requirement_not_met");
    guest.buy("hand_crank", json!(5)).await.expect(200);
    let poor = guest.buy_upgrade("work_gloves").await.expect_problem(409, "insufficient_energy");
    assert_eq!(poor.json["required"], 40.0);
    assert!(number(&poor.json["available"]) < 1.0);
    assert_eq!(guest.state().await["version"], 2, "a refusal changed the version");
    guest.grant(40.0).await;
    let bought = guest.buy_upgrade("work_gloves").await.expect(200);
    assert_eq!(
        (&bought.json["spent"], &bought.json["state"]["upgrades"]),
        (&json!(40.0), &json!(["work_gloves"]))
    );
    let per_click = number(&bought.json["state"]["energy_per_click"]);
    assert_eq!(per_click, 2.0);
    let before = number(&bought.json["state"]["energy"]);
    let clicked = guest.click(10).await.expect(200);
    assert_close(number(&clicked.json["state"]["energy"]), before + 10.0 * per_click);
    guest.buy_upgrade("work_gloves").await.expect_problem(409, "already_owned");
    guest.buy_upgrade("seven_league_boots").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn prestige_converts_produced_energy_to_cores() {
    let app = start_for_days(&World::new().await).await;
    let guest = app.client.guest().await;
    guest.post("/me/prestige", json!({})).await.expect_problem(409, "nothing_to_gain");
    guest.grant(1e12).await;
    guest.post("/me/prestige", json!({})).await.expect_problem(409, "nothing_to_gain");
    guest.buy("fusion_reactor", json!("max")).await.expect(200);
    app.advance(3600.0);
    let before = guest.state().await;
    let lifetime = number(&before["lifetime_energy"]);
    let expected = (lifetime / 1e9).sqrt().floor();
    assert!(expected >= 2.0, "made {lifetime}");
    let done = guest.post("/me/prestige", json!({})).await.expect(200);
    let state = &done.json["state"];
    assert_eq!(number(&done.json["gained_cores"]), expected);
    assert_eq!(number(&state["cores"]), expected);
    assert_eq!((&state["energy"], &state["energy_per_second"]), (&json!(0.0), &json!(0.0)));
    assert_eq!((&state["generators"], &state["upgrades"]), (&json!([]), &json!([])));
    assert_eq!(state["lifetime_energy"], before["lifetime_energy"]);
    guest.post("/me/prestige", json!({})).await.expect_problem(409, "nothing_to_gain");
    guest.grant(10.0).await;
    let bought = guest.buy("hand_crank", json!(1)).await.expect(200);
    let rate = number(&bought.json["state"]["energy_per_second"]);
    assert_close(rate, 0.15 * (1.0 + 0.02 * expected));
}

#[tokio::test]
async fn a_call_with_an_outdated_expected_version_is_refused() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.grant(1e6).await;
    guest.buy("hand_crank", json!(10)).await.expect(200);
    let before = guest.state().await;
    let calls = [
        ("/me/generators/hand_crank/purchase", json!({ "quantity": 1 })),
        ("/me/upgrades/work_gloves/purchase", json!({})),
        ("/me/prestige", json!({})),
    ];
    for (path, body) in &calls {
        for expected in [0, 1, 3, u64::MAX] {
            let mut body = body.clone();
            body["expected_version"] = json!(expected);
            let refused = guest.post(path, body).await.expect_problem(409, "version_mismatch");
            assert_eq!(refused.json["version"], 2);
        }
    }
    assert_eq!(guest.state().await, before);
    for (version, (path, body)) in (2..).zip(&calls[..2]) {
        let mut body = body.clone();
        body["expected_version"] = json!(version);
        let done = guest.post(path, body).await.expect(200);
        assert_eq!(done.json["state"]["version"], version + 1);
    }
}

#[tokio::test]
async fn a_player_can_change_the_display_name() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let patch = async |name: &str| {
        let body = json!({ "display_name": name });
        guest.client.call("PATCH", "/me", &guest.token, Some(body)).await
    };
    let renamed = patch("  Ada of Æther \u{1F600} ").await.expect(200);
    assert_eq!(
        (&renamed.json["display_name"], &renamed.json["version"]),
        (&json!("Ada of Æther \u{1F600}"), &json!(1))
    );
    patch(&"é".repeat(24)).await.expect(200);
    for name in ["", "   ", "a\nb", "a\u{0}b", &"x".repeat(25)] {
        patch(name).await.expect_problem(422, "validation_failed");
    }
    let state = guest.state().await;
    assert_eq!((&state["display_name"], &state["version"]), (&json!("é".repeat(24)), &json!(2)));
}

/// Engines whose only number type is a double, such as Lua's, write 29 as 29.0.
#[tokio::test]
async fn whole_numbers_may_be_written_as_doubles() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.grant(1e6).await;
    let cranks = "/me/generators/hand_crank/purchase";
    guest.post("/me/clicks", json!({ "clicks": 5.0 })).await.expect(200);
    let body = json!({ "quantity": 2.0, "expected_version": 2.0 });
    assert_eq!(guest.post(cranks, body).await.expect(200).json["purchased"], 2);
    let stale = json!({ "quantity": 2.0, "expected_version": 2.0 });
    guest.post(cranks, stale).await.expect_problem(409, "version_mismatch");
    for path in ["/me/prestige", "/me/upgrades/work_gloves/purchase"] {
        let stale = json!({ "expected_version": 29.0 });
        guest.post(path, stale).await.expect_problem(409, "version_mismatch");
        for wrong in [json!(29.5), json!(-1.0), json!("29"), json!(true)] {
            let reply = guest.post(path, json!({ "expected_version": wrong })).await;
            let reply = reply.expect_problem(400, "invalid_request");
            assert_eq!(reply.json["errors"][0]["field"], "expected_version");
        }
    }
    for path in [
        "/me/ledger?limit=1.0",
        "/rankings?limit=1.0&offset=0.0",
        "/rankings/me?around=1.0",
        "/seasons?limit=1.0",
    ] {
        guest.get(path).await.expect(200);
    }
    guest.get("/me/ledger?limit=1.5").await.expect_problem(400, "invalid_request");
    let mut catalogue = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    let upgrades = catalogue["upgrades"].as_array_mut().expect("a list");
    let counted = upgrades.iter_mut().filter(|it| it["requires"]["count"].is_u64());
    let doubled =
        counted.map(|it| it["requires"]["count"] = json!(it["requires"]["count"].as_f64())).count();
    assert!(doubled > 0);
    catalogue["version"] = json!(1.0);
    app.client.admin("PUT", "/catalog", Some(catalogue)).await.expect(200);
}

/// Without scientific notation, the numbers here would have three hundred digits.
#[tokio::test]
async fn numbers_in_error_messages_are_short() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let mut catalogue = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    catalogue["generators"][0]["base_cost"] = json!(0.0);
    let reply = app.client.admin("PUT", "/catalog", Some(catalogue)).await;
    let message =
        reply.expect_problem(422, "validation_failed").json["errors"][0]["message"].clone();
    assert_eq!(message, "must be from 0.000001 to 1e300");
    guest.grant(1e-320).await;
    let refused =
        guest.buy("hand_crank", json!(1)).await.expect_problem(409, "insufficient_energy");
    assert!(refused.text.len() < 500, "{}", refused.text);
}
