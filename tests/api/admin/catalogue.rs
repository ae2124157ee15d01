//! Changing the catalogue while it is played.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::books::{eventually, number};
use crate::support::{Player, Reply, TestApp, World};

const RATE: f64 = 0.15;

async fn newest(app: &TestApp) -> Value {
    app.client.admin("GET", "/catalog", None).await.expect(200).json
}

async fn put(app: &TestApp, catalog: &Value) -> Reply {
    app.client.admin("PUT", "/catalog", Some(catalog.clone())).await
}

async fn put_if(app: &TestApp, catalog: &Value, if_match: &str) -> Reply {
    let request = app.client.request("PUT", "/api/v1/admin/catalog").json(catalog);
    let request = request.bearer_auth(crate::support::ADMIN_TOKEN);
    app.client.send(request.header("If-Match", if_match)).await
}

async fn in_force(app: &TestApp) -> Value {
    app.client.call("GET", "/catalog", "", None).await.expect(200).json
}

/// Waits until the instance has that version.
async fn knows(app: &TestApp, version: u64) {
    eventually("it knows the catalogue", async || {
        (newest(app).await["version"] == version).then_some(())
    })
    .await;
}

/// Removes a generator and everything that refers to it.
fn without(catalog: &Value, generator: &str) -> Value {
    let mut catalog = catalog.clone();
    let kept = |list: &Value, keep: &dyn Fn(&Value) -> bool| {
        Value::Array(
            list.as_array().expect("a list").iter().filter(|it| keep(it)).cloned().collect(),
        )
    };
    catalog["generators"] = kept(&catalog["generators"], &|it| it["id"] != generator);
    catalog["upgrades"] = kept(&catalog["upgrades"], &|it| {
        it["effect"]["generator"] != generator && it["requires"]["generator"] != generator
    });
    catalog
}

/// A player with ten cranks and some energy.
async fn cranker(app: &TestApp) -> Player {
    let ada = app.client.register("ada").await;
    ada.grant(1_000.0).await;
    ada.buy("hand_crank", json!(10)).await.expect(200);
    ada
}

#[tokio::test]
async fn a_catalogue_that_was_read_can_be_put_back() {
    let app = TestApp::new().await;
    let reply = app.client.admin("GET", "/catalog", None).await.expect(200);
    assert!(reply.header("etag").starts_with("\"1-1-"), "{:?}", reply.headers);
    assert_eq!((&reply.json["version"], &reply.json["version_in_force"]), (&json!(1), &json!(1)));
    let put = put(&app, &reply.json).await.expect(200);
    assert!(put.header("etag").starts_with("\"2-1-"), "{:?}", put.headers);
    assert_eq!((&put.json["version"], &put.json["version_in_force"]), (&json!(2), &json!(1)));
    assert_eq!(put.json["effective_at"], "2026-01-05T00:00:03.000Z");
    for same in ["generators", "upgrades", "rules"] {
        assert_eq!(put.json[same], reply.json[same]);
    }
    assert_eq!(newest(&app).await, put.json);
}

#[tokio::test]
async fn a_change_is_in_force_three_seconds_later_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let mut catalog = newest(&here).await;
    catalog["generators"][0]["base_cost"] = json!(20);
    put(&here, &catalog).await.expect(200);
    knows(&there, 2).await;
    world.advance(2.999);
    for app in [&here, &there] {
        assert_eq!(in_force(app).await["version"], 1);
        assert_eq!(newest(app).await["version_in_force"], 1);
    }
    world.advance(0.001);
    for app in [&here, &there] {
        let catalog = in_force(app).await;
        assert_eq!(catalog["version"], 2);
        assert_eq!(catalog["effective_at"], "2026-01-05T00:00:03.000Z");
        assert_eq!(catalog["generators"][0]["base_cost"], 20.0);
        assert_eq!(newest(app).await["version_in_force"], 2);
    }
    let later = world.start().await;
    assert_eq!(in_force(&later).await, in_force(&here).await, "nor does a restart matter");
}

#[tokio::test]
async fn a_new_price_applies_from_its_effective_time_on() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    ada.grant(1_000.0).await;
    let mut catalog = newest(&here).await;
    catalog["generators"][0]["base_cost"] = json!(100);
    put(&here, &catalog).await.expect(200);
    knows(&there, 2).await;
    let bought = ada.at(&there).buy("hand_crank", json!(1)).await.expect(200);
    assert_eq!(bought.json["spent"], 10.0);
    world.advance(3.0);
    for app in [&here, &there] {
        let state = ada.at(app).state_at(2).await;
        assert!((number(&state["generators"][0]["next_cost"]) - 110.0).abs() < 1e-9, "{state}");
    }
    let bought = ada.at(&there).buy("hand_crank", json!(1)).await.expect(200);
    assert!((number(&bought.json["spent"]) - 110.0).abs() < 1e-9, "{}", bought.text);
}

#[tokio::test]
async fn a_new_rate_applies_exactly_from_its_effective_time() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = cranker(&here).await;
    let before = number(&ada.state().await["energy"]);
    let mut catalog = newest(&here).await;
    catalog["generators"][0]["base_energy_per_second"] = json!(2.0 * RATE);
    put(&here, &catalog).await.expect(200);
    knows(&there, 2).await;
    world.advance(10.0);
    // Three seconds at the old rate, seven at the new one.
    let expected = before + 10.0 * RATE * (3.0 + 2.0 * 7.0);
    for app in [&here, &there] {
        let state = ada.at(app).state().await;
        assert!((number(&state["energy"]) - expected).abs() < 1e-9, "not {expected}: {state}");
        assert!((number(&state["energy_per_second"]) - 20.0 * RATE).abs() < 1e-9, "{state}");
    }
    let clicked = ada.at(&there).click(1).await.expect(200);
    let after = number(&clicked.json["state"]["energy"]);
    assert!((after - expected - 1.0).abs() < 1e-9, "a write says what a read said: {after}");
    let state = ada.state_at(3).await;
    assert!((number(&state["energy"]) - expected - 1.0).abs() < 1e-9, "{state}");
}

#[tokio::test]
async fn rates_that_change_twice_apply_to_absent_players_too() {
    let app = TestApp::new().await;
    let ada = cranker(&app).await;
    let before = number(&ada.state().await["energy"]);
    let mut catalog = newest(&app).await;
    catalog["generators"][0]["base_energy_per_second"] = json!(2.0 * RATE);
    put(&app, &catalog).await.expect(200);
    app.advance(100.0);
    catalog["generators"][0]["base_energy_per_second"] = json!(5.0 * RATE);
    put(&app, &catalog).await.expect(200);
    app.advance(50.0);
    let expected = before + 10.0 * RATE * (3.0 + 2.0 * 100.0 + 5.0 * 47.0);
    let state = ada.state().await;
    assert!((number(&state["energy"]) - expected).abs() < 1e-9, "not {expected}: {state}");
    assert!((number(&state["away"]["energy"]) - (expected - before)).abs() < 1e-9, "{state}");
}

#[tokio::test]
async fn an_owned_item_can_be_retired_but_not_removed() {
    let app = TestApp::new().await;
    let ada = cranker(&app).await;
    ada.post("/me/upgrades/work_gloves/purchase", json!({})).await.expect(200);
    let catalog = newest(&app).await;
    let reply = put(&app, &without(&catalog, "hand_crank")).await;
    let reply = reply.expect_problem(422, "validation_failed");
    let errors = reply.json["errors"].as_array().expect("a list").clone();
    for (list, id) in [("generators", "hand_crank"), ("upgrades", "work_gloves")] {
        let told = errors.iter().any(|error| {
            error["field"] == list && error["message"].as_str().is_some_and(|it| it.contains(id))
        });
        assert!(told, "{id} is not named: {}", reply.text);
    }
    assert_eq!(newest(&app).await["version"], 1);
    let mut catalog = catalog;
    catalog["generators"][0]["available"] = json!(false);
    put(&app, &catalog).await.expect(200);
    app.advance(3.0);
    ada.buy("hand_crank", json!(1)).await.expect_problem(409, "requirement_not_met");
    let before = ada.state().await;
    assert_eq!(before["generators"][0]["owned"], 10);
    app.advance(10.0);
    let gained = number(&ada.state().await["energy"]) - number(&before["energy"]);
    assert!((gained - 100.0 * RATE).abs() < 1e-9, "it goes on producing: {gained}");
    assert_eq!(in_force(&app).await["generators"][0]["available"], false);
}

#[tokio::test]
async fn an_item_without_owners_can_be_removed() {
    let app = TestApp::new().await;
    let ada = cranker(&app).await;
    let catalog = newest(&app).await;
    let reduced = without(&catalog, "bicycle_dynamo");
    put(&app, &reduced).await.expect(200);
    ada.buy("bicycle_dynamo", json!(1)).await.expect(200);
    app.advance(3.0);
    assert_eq!(in_force(&app).await["generators"], reduced["generators"]);
    ada.buy("bicycle_dynamo", json!(1)).await.expect_problem(404, "not_found");
    let state = ada.state().await;
    let rate = number(&state["energy_per_second"]);
    assert!((rate - 10.0 * RATE - 0.7).abs() < 1e-9, "what was bought in time is kept: {state}");
    put(&app, &catalog).await.expect(200);
    app.advance(3.0);
    ada.buy("bicycle_dynamo", json!(1)).await.expect(200);
}

#[tokio::test]
async fn a_change_of_an_outdated_catalogue_is_refused_with_if_match() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let catalog = newest(&apps[0]).await;
    put_if(&apps[0], &catalog, "\"1\"").await.expect(200);
    // The other instance need not have been told to know it.
    let reply = put_if(&apps[1], &catalog, "\"1\"").await.expect_problem(409, "version_mismatch");
    assert_eq!(reply.json["version"], 2);
    put_if(&apps[1], &catalog, "\"2\"").await.expect(200);
    put_if(&apps[1], &catalog, "*").await.expect(200);
    for tag in ["1", "x", "\"x\"", "\"\"", ""] {
        let reply = put_if(&apps[0], &catalog, tag).await.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], "If-Match", "{tag:?}");
    }
    knows(&apps[0], 4).await;
}

#[tokio::test]
async fn a_tag_depends_on_the_content_of_a_catalogue() {
    let (here, there) = (TestApp::new().await, TestApp::new().await);
    let tag_of = async |app: &TestApp| {
        app.client.admin("GET", "/catalog", None).await.expect(200).header("etag").to_owned()
    };
    let mut catalog = newest(&here).await;
    put_if(&here, &catalog, &tag_of(&here).await).await.expect(200);
    // Another catalogue with the same number, as after a restore.
    catalog["generators"][0]["base_cost"] = json!(20);
    let other = put_if(&there, &catalog, &tag_of(&there).await).await.expect(200);
    let other = other.header("etag").to_owned();
    let reply = put_if(&here, &catalog, &other).await.expect_problem(409, "version_mismatch");
    assert_eq!(reply.json["version"], 2);
    // The change has come into force meanwhile, and is still the latest one.
    there.advance(3.0);
    assert_ne!(tag_of(&there).await, other, "`version_in_force` changed, and the tag with it");
    put_if(&there, &catalog, &other).await.expect(200);
}

#[tokio::test]
async fn one_of_several_racing_changes_succeeds() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let catalog = newest(&apps[0]).await;
    let racing = (0..6).map(|n| put_if(&apps[n % 2], &catalog, "\"1\""));
    let replies = join_all(racing).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        let reply = reply.expect_problem(409, "version_mismatch");
        assert_eq!(reply.json["version"], 2);
    }
    knows(&apps[0], 2).await;
    knows(&apps[1], 2).await;
}
