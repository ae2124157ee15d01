//! What the game itself notifies of.

use serde_json::{Value, json};

use super::{events, list, types};
use crate::support::books::{eventually, start_for_days};
use crate::support::{Player, TestApp, World};

/// The only notification of a player, once it has one.
async fn only(player: &Player) -> Value {
    eventually("a notification", async || {
        let shown = list(player, "").await;
        shown["entries"].as_array().expect("a list").first().cloned()
    })
    .await
}

#[tokio::test]
async fn a_grant_is_told_of_in_the_language_of_the_player() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    ada.grant(2.5).await;
    let told = only(&ada).await;
    assert_eq!((&told["type"], &told["priority"]), (&json!("grant"), &json!("medium")));
    assert_eq!(told["data"], json!({ "energy": 2.5, "reason": "for the test" }));
    assert_eq!(told["body"], "An operator gave you 2.5 energy.");
    assert_eq!(events(&ada).await.len(), 1);
    // A repeated request neither applies the grant again nor sends a second notification.
    let path = format!("/api/v1/admin/players/{}/grant", ada.id);
    for _ in 0..2 {
        let request = app.client.request("POST", &path).bearer_auth(crate::support::ADMIN_TOKEN);
        let request = request.header("Idempotency-Key", "once");
        app.client.send(request.json(&json!({ "energy": 1, "reason": "x" }))).await.expect(200);
    }
    app.empty_outbox().await;
    assert_eq!(events(&ada).await.len(), 2);
}

#[tokio::test]
async fn a_sign_in_from_another_device_is_told_of() {
    let app = TestApp::new().await;
    let sign_in = async |agent: &str| {
        let request = app.client.request("POST", "/api/v1/auth/login").header("User-Agent", agent);
        let body = json!({ "username": "ada", "password": "correct horse" });
        let reply = app.client.send(request.json(&body)).await.expect(200);
        app.empty_outbox().await;
        Player::of(&app.client, &reply)
    };
    let request = app.client.request("POST", "/api/v1/auth/register").header("User-Agent", "phone");
    let body = json!({ "username": "ada", "password": "correct horse" });
    let ada = Player::of(&app.client, &app.client.send(request.json(&body)).await.expect(201));
    sign_in("phone").await;
    assert_eq!(list(&ada, "").await["entries"], json!([]), "the same device");
    sign_in("laptop").await;
    assert_eq!(types(&list(&ada, "").await), ["new_sign_in"]);
    sign_in("laptop").await;
    assert_eq!(types(&list(&ada, "").await), ["new_sign_in"], "a device that is known");
}

#[tokio::test]
async fn the_end_of_production_is_told_of_once_an_absence() {
    let app = start_for_days(&World::new().await).await;
    let ada = app.client.guest().await;
    ada.grant(1_000.0).await;
    ada.buy("hand_crank", json!(1)).await.expect(200);
    let database = app.world.connect().await;
    let sweep = async |seconds: f64| {
        app.advance(seconds);
        app.run_jobs().await;
        app.empty_outbox().await;
        // Reading the list would count as presence.
        let sql = "select count(*) from notifications where type = 'offline_cap_reached'";
        database.query_one(sql, &[]).await.expect("counted").get::<_, i64>(0)
    };
    assert_eq!(sweep(7.0 * 3600.0).await, 0, "production continues for eight hours");
    assert_eq!(sweep(2.0 * 3600.0).await, 1);
    assert_eq!(sweep(3600.0).await, 1, "once an absence");
    // A new catalogue settles everybody again.
    let catalog = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    for _ in 0..2 {
        app.client.admin("PUT", "/catalog", Some(catalog.clone())).await.expect(200);
        assert_eq!(sweep(600.0).await, 1, "once an absence, whatever the catalogue");
    }
    ada.click(1).await.expect(200);
    assert_eq!(sweep(600.0).await, 1);
    assert_eq!(sweep(9.0 * 3600.0).await, 2, "a second absence");
}

#[tokio::test]
async fn the_end_of_a_season_is_one_announcement() {
    let world = World::new().await;
    let (app, other) = (world.start().await, world.start().await);
    app.run_jobs().await;
    let ada = app.client.register("ada").await;
    ada.click(1).await.expect(200);
    app.advance(7.0 * 86_400.0 + 120.0);
    for app in [&app, &other, &app] {
        app.run_jobs().await;
        app.empty_outbox().await;
    }
    let body = json!({ "username": "ada", "password": "correct horse" });
    let ada =
        Player::of(&app.client, &app.client.call("POST", "/auth/login", "", Some(body)).await);
    let shown = list(&ada, "").await;
    let ends: Vec<_> = shown["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["type"] == "season_ended")
        .collect();
    assert_eq!(ends.len(), 1, "{shown}");
    let season = ends[0]["data"]["season"].as_str().expect("a season");
    assert_eq!((season, ends[0]["announcement"].clone()), ("2026-w02", json!(true)));
    // The rank is read on demand.
    let rankings = ada.get(&format!("/seasons/{season}/rankings")).await.expect(200).json;
    assert_eq!(rankings["entries"][0]["player_id"], ada.id);
}
