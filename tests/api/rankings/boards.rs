//! Leaderboards as clients read them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    add_players, buy_generators, ids, page, publish_until, rebuild, test_in_process_and_on_redis,
};
use crate::support::books::{assert_close, eventually, number};
use crate::support::{TestApp, World};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn a_page_has_the_documented_fields(world: World) {
    let app = world.start().await;
    let ada = app.client.register("ada").await;
    buy_generators(&ada, "wind_turbine", 3).await;
    app.advance(10.0);
    ada.state().await;
    let list =
        publish_until(&app, "", "Ada's score", |list| list["entries"][0]["score"] != 0.0).await;
    assert_eq!(keys(&list), ["as_of", "board", "entries", "stale", "total_players"].into());
    assert_eq!(list["board"], "lifetime_energy");
    assert_eq!((&list["total_players"], &list["stale"]), (&json!(1), &json!(false)));
    let as_of: jiff::Timestamp = list["as_of"].as_str().expect("a time").parse().expect("RFC 3339");
    assert_eq!(as_of.to_string(), "2026-01-05T00:00:10Z");
    let entry = &list["entries"][0];
    assert_eq!(keys(entry), ["display_name", "player_id", "rank", "score"].into());
    assert_eq!((&entry["rank"], &entry["player_id"]), (&json!(1), &json!(ada.id)));
    assert_eq!(entry["score"], ada.state().await["lifetime_energy"]);
    let rate = page(&app, "board=energy_per_second").await.expect(200).json;
    assert_eq!(rate["entries"][0]["score"], 36.0);
    let season = page(&app, "board=season").await.expect(200).json;
    assert_close(number(&season["entries"][0]["score"]), 360.0);
    let beyond = page(&app, "offset=1000000").await.expect(200).json;
    assert_eq!((&beyond["entries"], &beyond["total_players"]), (&json!([]), &json!(1)));
}

async fn a_player_can_read_their_own_rank_and_neighbours(world: World) {
    let app = world.start().await;
    let scores: Vec<_> = (0..9).map(|index| (f64::from(index) * 100.0 + 50.0, 0, 0.0)).collect();
    let others = add_players(&world, &scores).await;
    rebuild(&app).await;
    let ada = app.client.register("ada").await;
    let alone = ada.get("/rankings/me?around=0").await.expect(200).json;
    assert_eq!(keys(&alone), ["as_of", "board", "entries", "percentile", "rank", "score"].into());
    assert_eq!((&alone["rank"], &alone["score"]), (&json!(10), &json!(0.0)));
    assert_eq!((&alone["percentile"], ids(&alone)), (&json!(0.0), vec![ada.id.clone()]));
    ada.click(30).await.expect(200);
    ada.click(10).await.expect(200);
    for _ in 0..4 {
        app.advance(2.0);
        ada.click(40).await.expect(200);
    }
    // The score 200 is between the others' 150 and 250.
    let own = eventually("the clicks are published", async || {
        app.server.rankings.publish().await.expect("published");
        let own = ada.get("/rankings/me?board=lifetime_energy&around=2").await.expect(200).json;
        (own["score"] == 200.0).then_some(own)
    })
    .await;
    assert_eq!(own["rank"], 8);
    assert_close(number(&own["percentile"]), 200.0 / 9.0);
    let expected = [3, 2].map(|index| others[index].to_string());
    let expected = [
        &expected[..],
        std::slice::from_ref(&ada.id),
        &[1, 0].map(|index| others[index].to_string()),
    ];
    assert_eq!(ids(&own), expected.concat());
    let ranks: Vec<_> =
        own["entries"].as_array().expect("entries").iter().map(|it| &it["rank"]).collect();
    assert_eq!(ranks, [6, 7, 8, 9, 10]);
    let default = ada.get("/rankings/me").await.expect(200).json;
    assert_eq!((ids(&default).len(), &default["rank"]), (8, &json!(8)));
}

async fn a_single_player_has_rank_one(world: World) {
    let app = world.start().await;
    let ada = app.client.guest().await;
    for board in ["lifetime_energy", "energy_per_second", "season"] {
        let own = ada.get(&format!("/rankings/me?board={board}")).await.expect(200).json;
        assert_eq!((&own["rank"], &own["percentile"]), (&json!(1), &json!(100.0)), "{board}");
    }
}

async fn renames_bans_and_deletions_change_the_boards(world: World) {
    let (app, other) = (world.start().await, world.start().await);
    let (ada, eve) = (app.client.register("ada").await, app.client.register("eve").await);
    ada.click(20).await.expect(200);
    eve.click(10).await.expect(200);
    let both = |list: &Value| ids(list) == [ada.id.clone(), eve.id.clone()];
    publish_until(&app, "", "both", both).await;
    // A change at one instance is visible at every instance.
    publish_until(&other, "", "both elsewhere", |list| ids(list).len() == 2).await;
    let rename =
        app.client.call("PATCH", "/me", &ada.token, Some(json!({ "display_name": "Countess" })));
    rename.await.expect(200);
    publish_until(&app, "", "the name", |list| list["entries"][0]["display_name"] == "Countess")
        .await;
    let ban = |verb: &str| format!("/players/{}/{verb}", ada.id);
    app.client.admin("POST", &ban("ban"), Some(json!({}))).await.expect(204);
    for app in [&app, &other] {
        let list = publish_until(app, "", "the ban", |list| ids(list) == [eve.id.clone()]).await;
        assert_eq!((&list["total_players"], &list["entries"][0]["rank"]), (&json!(1), &json!(1)));
    }
    app.client.admin("POST", &ban("unban"), Some(json!({}))).await.expect(204);
    for app in [&app, &other] {
        publish_until(app, "", "the end of the ban", |list| ids(list).len() == 2).await;
    }
    let ada = app.client.login("ada").await;
    ada.client.call("DELETE", "/me", &ada.token, None).await.expect(204);
    for app in [&app, &other] {
        publish_until(app, "", "the deletion", |list| ids(list) == [eve.id.clone()]).await;
    }
    rebuild(&app).await;
    publish_until(&app, "", "the deletion after a rebuild", |list| ids(list) == [eve.id.clone()])
        .await;
}

async fn a_new_guest_is_on_the_boards(world: World) {
    let app = world.start().await;
    let ada = app.client.guest().await;
    publish_until(&app, "", "a guest who has done nothing", |list| ids(list) == [ada.id.clone()])
        .await;
    let body = json!({ "username": "ada", "password": "correct horse", "display_name": "Ada L." });
    app.client.call("POST", "/auth/register", &ada.token, Some(body)).await.expect(201);
    let named = |list: &Value| list["entries"][0]["display_name"] == "Ada L.";
    publish_until(&app, "", "the name that the guest has taken", named).await;
}

async fn a_page_with_a_matching_etag_is_not_sent_again(world: World) {
    let app = world.start().await;
    let ada = app.client.register("ada").await;
    ada.click(5).await.expect(200);
    publish_until(&app, "limit=10", "the clicks", |list| list["entries"][0]["score"] == 5.0).await;
    let path = "/api/v1/rankings?limit=10";
    let full = page(&app, "limit=10").await.expect(200);
    let tag = full.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10, "{tag} is not strong");
    assert!(full.header("cache-control").starts_with("public, max-age="));
    let request = app.client.request("GET", path).header("If-None-Match", &tag);
    let again = app.client.send(request).await.expect(304);
    assert_eq!((again.text.as_str(), again.header("etag")), ("", tag.as_str()));
    assert_eq!(again.header("cache-control"), full.header("cache-control"));
    ada.click(5).await.expect(200);
    publish_until(&app, "limit=10", "more clicks", |list| list["entries"][0]["score"] == 10.0)
        .await;
    let request = app.client.request("GET", path).header("If-None-Match", &tag);
    assert_ne!(app.client.send(request).await.expect(200).header("etag"), tag);
}

async fn scores_grow_by_production_without_calls(world: World) {
    let app = world.start().await;
    let ada = app.client.register("ada").await;
    buy_generators(&ada, "wind_turbine", 1).await;
    publish_until(&app, "", "Ada", |list| ids(list).len() == 1).await;
    // Ada makes no calls, but her generators produce.
    app.advance(50.0);
    let list =
        publish_until(&app, "", "fifty seconds", |list| number(&list["entries"][0]["score"]) > 0.0);
    assert_close(number(&list.await["entries"][0]["score"]), 600.0);
    // The score of a player who has made no calls for a long time is that of the last rebuild.
    app.advance(5000.0);
    rebuild(&app).await;
    let list =
        publish_until(&app, "", "the rebuild", |list| number(&list["entries"][0]["score"]) > 600.0);
    assert_close(number(&list.await["entries"][0]["score"]), 5050.0 * 12.0);
}

async fn without_the_database_the_last_page_is_served_as_stale(world: World) {
    let app = world.start().await;
    let ada = app.client.register("ada").await;
    ada.click(5).await.expect(200);
    let clicked = |list: &Value| list["entries"][0]["score"] == 5.0;
    publish_until(&app, "", "the clicks", clicked).await;
    world.cut_database().await;
    let stale = eventually("the outage is noticed", async || {
        let reply = page(&app, "").await.expect(200);
        (reply.json["stale"] == true).then_some(reply)
    });
    let stale = stale.await;
    assert!(clicked(&stale.json), "{}", stale.text);
    let ready = page(&app, "").await.expect(200);
    assert_eq!(ready.json["stale"], true);
    world.mend_database().await;
    let fresh = eventually("the end of the outage is noticed", async || {
        let reply = page(&app, "").await.expect(200);
        (reply.json["stale"] == false).then_some(reply)
    });
    assert_ne!(fresh.await.header("etag"), stale.header("etag"));
}

test_in_process_and_on_redis!(
    without_the_database_the_last_page_is_served_as_stale,
    a_page_has_the_documented_fields,
    a_player_can_read_their_own_rank_and_neighbours,
    a_single_player_has_rank_one,
    renames_bans_and_deletions_change_the_boards,
    a_new_guest_is_on_the_boards,
    a_page_with_a_matching_etag_is_not_sent_again,
    scores_grow_by_production_without_calls,
);

#[tokio::test]
async fn invalid_parameters_are_refused() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    for board in ["nothing", "", "lifetime_energy%00", "Season"] {
        page(&app, &format!("board={board}")).await.expect_problem(404, "not_found");
        let own = ada.get(&format!("/rankings/me?board={board}")).await;
        own.expect_problem(404, "not_found");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("offset=-1", "offset"),
        ("offset=1000000001", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("cursor=x", "cursor"),
    ] {
        for path in ["/rankings", "/seasons/2026-w02/rankings"] {
            let reply = app.client.call("GET", &format!("{path}?{query}"), "", None).await;
            let reply = reply.expect_problem(400, "invalid_request");
            assert_eq!(reply.json["errors"][0]["field"], field, "{path}?{query}");
        }
    }
    for (query, field) in [("around=26", "around"), ("around=-1", "around"), ("limit=1", "limit")] {
        let reply = ada.get(&format!("/rankings/me?{query}")).await;
        let reply = reply.expect_problem(400, "invalid_request");
        assert_eq!(reply.json["errors"][0]["field"], field, "{query}");
    }
    let reply = app.client.call("GET", "/rankings/me", "", None).await;
    reply.expect_problem(401, "unauthenticated");
    let reply = app.client.call("POST", "/rankings", "", None).await;
    assert_eq!(reply.expect_problem(405, "method_not_allowed").header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn an_operator_can_rebuild_the_boards() {
    let app = TestApp::new().await;
    app.client.guest().await;
    publish_until(&app, "", "the guest", |list| ids(list).len() == 1).await;
    // Only a rebuild finds a player who was inserted into the database.
    let hidden = add_players(&app.world, &[(1e6, 0, 0.0)]).await;
    let reply = app.client.admin("POST", "/rankings/rebuild", None).await.expect(202);
    assert!(["started", "running"].contains(&reply.json["status"].as_str().expect("text")));
    let first = |list: &Value| ids(list)[0] == hidden[0].to_string();
    publish_until(&app, "", "the inserted player", first).await;
}
