//! Banning players and giving them energy.

use serde_json::{Value, json};

use super::NOBODY;
use crate::support::books::eventually;
use crate::support::{PASSWORD, Player, Reply, TestApp, World};

async fn act(player: &Player, call: &str, body: Value) -> Reply {
    let path = format!("/players/{}/{call}", player.id);
    player.client.admin("POST", &path, Some(body)).await
}

async fn inspect(player: &Player) -> Value {
    let path = format!("/players/{}", player.id);
    player.client.admin("GET", &path, None).await.expect(200).json
}

/// The operators' changes of the player, newest first.
async fn audit(player: &Player) -> Vec<(String, Value)> {
    let entries = inspect(player).await["audit"].as_array().expect("a list").clone();
    let told = entries.into_iter().map(|mut entry| {
        (entry["action"].as_str().expect("text").to_owned(), entry["detail"].take())
    });
    told.collect()
}

#[tokio::test]
async fn a_ban_and_its_end_apply_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let elsewhere = ada.at(&there);
    elsewhere.click(5).await.expect(200);
    act(&ada, "ban", json!({ "reason": "a script" })).await.expect(204);
    ada.get("/me").await.expect_problem(403, "player_banned");
    elsewhere.click(1).await.expect_problem(403, "player_banned");
    eventually("every call is refused there", async || {
        let reply = elsewhere.get("/auth/sessions").await;
        (reply.code() == "player_banned").then_some(())
    })
    .await;
    for client in [&here.client, &there.client] {
        client.refresh(&ada.refresh_token).await.expect_problem(403, "player_banned");
        client.try_login("ada", PASSWORD).await.expect_problem(403, "player_banned");
    }
    assert_eq!(inspect(&ada).await["banned"], true);
    act(&ada, "unban", json!({})).await.expect(204);
    for player in [&ada, &elsewhere] {
        eventually("the player is let on", async || {
            (player.get("/auth/sessions").await.status == 200).then_some(())
        })
        .await;
        player.click(1).await.expect(200);
    }
    assert_eq!(
        ada.state_at(3).await["energy"],
        7.0,
        "nothing was lost, and nothing credited meanwhile"
    );
    there.client.login("ada").await;
    assert_eq!(inspect(&ada).await["banned"], false);
}

#[tokio::test]
async fn a_ban_survives_a_restart_and_new_tokens() {
    let world = World::new().await;
    let before = world.start().await;
    let ada = before.client.register("ada").await;
    act(&ada, "ban", json!({})).await.expect(204);
    before.stop().await;
    world.advance(890.0);
    let after = world.start().await;
    ada.at(&after).get("/auth/sessions").await.expect_problem(403, "player_banned");
    world.advance(86_400.0);
    after.client.refresh(&ada.refresh_token).await.expect_problem(403, "player_banned");
    after.client.try_login("ada", PASSWORD).await.expect_problem(403, "player_banned");
}

#[tokio::test]
async fn each_change_has_one_audit_log_entry() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    assert_eq!(audit(&ada).await, []);
    act(&ada, "ban", json!({ "reason": "a script" })).await.expect(204);
    act(&ada, "ban", json!({ "reason": "again" })).await.expect(204);
    act(&ada, "unban", json!({ "reason": "a mistake" })).await.expect(204);
    act(&ada, "unban", json!({})).await.expect(204);
    act(&ada, "grant", json!({ "energy": 10, "reason": "sorry" })).await.expect(200);
    let told = audit(&ada).await;
    let actions: Vec<&str> = told.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["grant", "unban", "ban"]);
    assert_eq!(told[0].1, json!({ "energy": 10, "reason": "sorry" }));
    assert_eq!(told[1].1["reason"], "a mistake");
    assert_eq!(told[2].1["reason"], "a script");
    let own = ada.get("/me/export").await.expect(200).json;
    assert_eq!(own["audit"].as_array().expect("a list").len(), 3, "the player may know");
}

#[tokio::test]
async fn a_grant_makes_a_ledger_entry_and_a_new_version() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    ada.click(7).await.expect(200);
    let granted = act(&ada, "grant", json!({ "energy": 0.5, "reason": "a prize 🏆" })).await;
    let granted = granted.expect(200);
    assert_eq!(granted.json["state"]["energy"], 7.5);
    assert_eq!(granted.json["state"]["version"], 2);
    let state = ada.at(&there).state().await;
    assert_eq!((&state["energy"], &state["version"]), (&json!(7.5), &json!(2)));
    let ledger = ada.get("/me/ledger").await.expect(200);
    let line = json!({
        "id": 2, "at": "2026-01-05T00:00:00.000Z", "kind": "grant", "reference": "a prize 🏆",
        "earned": 7.0, "delta": 0.5, "balance_after": 7.5,
    });
    assert_eq!(ledger.json["entries"], json!([line]));
    let spent = ada.at(&there).buy("hand_crank", json!(1)).await;
    spent.expect_problem(409, "insufficient_energy");
    act(&ada, "grant", json!({ "energy": 1e300, "reason": "the most" })).await.expect(200);
    ada.at(&there).buy("hand_crank", json!(1)).await.expect(200);
}

#[tokio::test]
async fn a_grant_with_a_key_is_applied_once() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let path = format!("/api/v1/admin/players/{}/grant", ada.id);
    let grant = async |n: usize, energy: u64| {
        let body = json!({ "energy": energy, "reason": "once" });
        let request = apps[n].client.request("POST", &path).json(&body);
        let request = request.bearer_auth(crate::support::ADMIN_TOKEN);
        apps[n].client.send(request.header("Idempotency-Key", "one")).await
    };
    assert_eq!(grant(0, 10).await.expect(200).header("idempotency-replayed"), "");
    for n in [0, 1] {
        let again = grant(n, 10).await.expect(200);
        assert_eq!(again.json["state"]["energy"], 10.0);
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    grant(1, 20).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(ada.state().await["energy"], 10.0);
    assert_eq!(audit(&ada).await.len(), 1);
}

#[tokio::test]
async fn a_bad_grant_or_ban_is_refused_with_its_field_and_changes_nothing() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let long = "x".repeat(201);
    for (body, field) in [
        (json!({ "energy": 0, "reason": "r" }), "energy"),
        (json!({ "energy": -1, "reason": "r" }), "energy"),
        (json!({ "energy": 1.1e300, "reason": "r" }), "energy"),
        (json!({ "energy": 1, "reason": "" }), "reason"),
        (json!({ "energy": 1, "reason": long }), "reason"),
        (json!({ "energy": 1, "reason": "a\nb" }), "reason"),
        (json!({ "energy": 1, "reason": "a\0b" }), "reason"),
    ] {
        let reply = act(&ada, "grant", body).await.expect_problem(422, "validation_failed");
        assert_eq!(reply.json["errors"][0]["field"], field, "{}", reply.text);
    }
    for (body, field) in [
        (json!({ "energy": "1", "reason": "r" }), "energy"),
        (json!({ "energy": null, "reason": "r" }), "energy"),
        (json!({ "reason": "r" }), "energy"),
        (json!({ "energy": 1 }), "reason"),
        (json!({ "energy": 1, "reason": 7 }), "reason"),
        (json!({ "energy": 1, "reason": "r", "bogus": 1 }), "bogus"),
        (json!([1, "r"]), "body"),
    ] {
        let reply = act(&ada, "grant", body).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], field, "{}", reply.text);
    }
    for call in ["ban", "unban"] {
        for reason in ["", &long, "a\0b"] {
            let reply = act(&ada, call, json!({ "reason": reason })).await;
            let reply = reply.expect_problem(422, "validation_failed");
            assert_eq!(reply.json["errors"][0]["field"], "reason");
        }
    }
    let found = inspect(&ada).await;
    assert_eq!((&found["state"]["version"], &found["banned"]), (&json!(0), &json!(false)));
    assert_eq!((&found["audit"], &found["ledger"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn an_unknown_player_is_not_found() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    ada.call("DELETE", "/me").await.expect(204);
    let grant = json!({ "energy": 1, "reason": "r" });
    for id in [NOBODY, &ada.id, "x", "%00", "%ff", &"x".repeat(8_000)] {
        let path = format!("/players/{id}");
        app.client.admin("GET", &path, None).await.expect_problem(404, "not_found");
        for (call, body) in [("ban", json!({})), ("unban", json!({})), ("grant", grant.clone())] {
            let reply = app.client.admin("POST", &format!("{path}/{call}"), Some(body)).await;
            reply.expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn an_operator_sees_all_data_of_a_player() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    ada.click(30).await.expect(200);
    ada.buy("hand_crank", json!(1)).await.expect(200);
    let found = inspect(&ada).await;
    assert_eq!(found["state"], ada.state().await);
    assert_eq!(found["ledger"][0]["kind"], "generator_purchase");
    assert_eq!(found["sessions"][0]["id"], ada.session());
    let text = found.to_string();
    assert!(!text.contains("argon2") && !text.contains("password") && !text.contains("chain"));
}
