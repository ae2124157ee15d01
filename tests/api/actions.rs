//! Several actions in one call.

use serde_json::{Value, json};

use crate::support::books::{assert_close, is_replay, number, outcome, revision};
use crate::support::{Player, Reply, TestApp, World};

async fn act(player: &Player, actions: Value) -> Reply {
    player.post("/me/actions", json!({ "actions": actions })).await
}

#[tokio::test]
async fn each_action_has_its_own_outcome_or_problem_in_one_commit() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let guest = app.client.guest().await;
    let before = revision(&database, &guest).await;
    let reply = act(
        &guest,
        json!([
            { "type": "click", "clicks": 5 },
            { "type": "buy_generator", "id": "hand_crank", "quantity": 1 },
            { "type": "click", "clicks": 20 },
            { "type": "buy_generator", "id": "hand_crank", "quantity": "max" },
            { "type": "buy_generator", "id": "Hand Crank!", "quantity": 1 },
            { "type": "buy_upgrade", "id": "no_such_thing" },
            { "type": "buy_upgrade", "id": "work_gloves" },
            { "type": "click", "clicks": 1000 }
        ]),
    )
    .await
    .expect(200);
    let results = reply.json["results"].as_array().expect("results").clone();
    let said: Vec<_> =
        results.iter().map(|it| (it["status"].as_u64(), it["code"].as_str())).collect();
    let (fine, missing) = ((Some(200), None), (Some(404), Some("not_found")));
    let poor = (Some(409), Some("insufficient_energy"));
    let unmet = (Some(409), Some("requirement_not_met"));
    assert_eq!(said, [fine, poor, fine, fine, missing, missing, unmet, fine]);
    assert_eq!((&results[1]["required"], &results[1]["available"]), (&json!(10.0), &json!(5.0)));
    let accepted = [0, 2, 7].map(|index: usize| results[index]["accepted"].as_u64());
    assert_eq!(accepted, [Some(5), Some(20), Some(15)]);
    assert_eq!(results[3]["purchased"], 2);
    assert_close(number(&results[3]["spent"]), 21.0);
    let state = &reply.json["state"];
    assert_close(number(&state["energy"]), 40.0 - 21.0);
    assert_eq!(state["version"], 4, "one for each that was applied");
    assert_eq!(revision(&database, &guest).await, before + 1, "written at once");
    let ledger = guest.assert_books_balance().await;
    assert_eq!((ledger.len(), &ledger[0]["id"]), (1, &json!(3)));
}

#[tokio::test]
async fn a_call_whose_actions_are_all_refused_keeps_the_version() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.click(3).await.expect(200);
    let before = guest.state().await;
    let refused = json!([
        { "type": "buy_generator", "id": "hand_crank", "quantity": "max" },
        { "type": "buy_upgrade", "id": "work_gloves" }
    ]);
    let reply = act(&guest, refused).await.expect(200);
    assert_eq!(reply.json["state"], before);
    assert_eq!(guest.state().await, before);
}

#[tokio::test]
async fn a_call_has_one_to_thirty_two_actions() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let clicks = |count| Value::from(vec![json!({ "type": "click", "clicks": 1 }); count]);
    for number in [0, 33, 200] {
        let refused = act(&guest, clicks(number)).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.json["errors"][0]["field"], "actions");
    }
    let reply = act(&guest, clicks(32)).await.expect(200);
    assert_eq!(reply.json["results"].as_array().map(Vec::len), Some(32));
    assert_eq!(
        (&reply.json["state"]["version"], &reply.json["state"]["energy"]),
        (&json!(32), &json!(32.0))
    );
}

#[tokio::test]
async fn a_malformed_action_refuses_the_call_and_is_named() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let fine = json!({ "type": "click", "clicks": 1 });
    let malformed = [
        (json!({ "type": "prestige" }), "type", 400),
        (json!({ "type": "Click", "clicks": 1 }), "type", 400),
        (json!({ "clicks": 1 }), "", 400),
        (json!({ "type": "click" }), "clicks", 400),
        (json!({ "type": "click", "clicks": "1" }), "clicks", 400),
        (json!({ "type": "click", "clicks": 0 }), "clicks", 422),
        (json!({ "type": "click", "clicks": 1001 }), "clicks", 422),
        (json!({ "type": "click", "clicks": 1, "id": "hand_crank" }), "id", 400),
        (json!({ "type": "click", "clicks": 1, "quantity": 1 }), "quantity", 400),
        (json!({ "type": "buy_generator", "quantity": 1 }), "id", 400),
        (json!({ "type": "buy_generator", "id": "hand_crank" }), "quantity", 400),
        (json!({ "type": "buy_generator", "id": "hand_crank", "quantity": 0 }), "quantity", 422),
        (
            json!({ "type": "buy_generator", "id": "hand_crank", "quantity": 1, "clicks": 1 }),
            "clicks",
            400,
        ),
        (json!({ "type": "buy_upgrade" }), "id", 400),
        (json!({ "type": "buy_upgrade", "id": 7 }), "id", 400),
        (json!({ "type": "buy_upgrade", "id": "work_gloves", "quantity": 1 }), "quantity", 400),
        (json!({ "type": "click", "clicks": 1, "surprise": 1 }), "surprise", 400),
        (json!("click"), "", 400),
    ];
    for (action, field, status) in malformed {
        let code = if status == 400 { "invalid_request" } else { "validation_failed" };
        let reply = act(&guest, json!([fine, action])).await.expect_problem(status, code);
        let named = reply.json["errors"][0]["field"].as_str().expect("a field");
        assert!(named.starts_with("actions[1]") && named.ends_with(field), "{action}: {named}");
    }
    assert_eq!(guest.state().await["version"], 0);
}

#[tokio::test]
async fn a_repeat_of_actions_returns_all_first_outcomes() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let body = json!({ "actions": [
        { "type": "click", "clicks": 12 },
        { "type": "buy_generator", "id": "hand_crank", "quantity": 1 },
        { "type": "buy_generator", "id": "hand_crank", "quantity": 1 },
        { "type": "buy_upgrade", "id": "work_gloves" }
    ]});
    let first = guest.post_keyed("/me/actions", "a", body.clone()).await.expect(200);
    assert!(!is_replay(&first));
    guest.grant(100.0).await;
    let repeat = guest.post_keyed("/me/actions", "a", body).await.expect(200);
    assert!(is_replay(&repeat));
    assert_eq!(outcome(&repeat), outcome(&first));
    assert_eq!(repeat.json["state"]["version"], 3);
    assert_close(number(&repeat.json["state"]["energy"]), 102.0);
}
