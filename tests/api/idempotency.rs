//! A repeat with the same key has no further effect.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::books::{count, is_replay, outcome, start_for_days};
use crate::support::{Player, TestApp, World};

const CLICKS: &str = "/me/clicks";
const CRANKS: &str = "/me/generators/hand_crank/purchase";

/// Every mutation under `/me` except deleting, in an order in which a rich player can do all of them.
fn mutations() -> Vec<(&'static str, &'static str, Value)> {
    let actions = json!({ "actions": [
        { "type": "click", "clicks": 2 },
        { "type": "buy_generator", "id": "bicycle_dynamo", "quantity": "max" },
        { "type": "buy_upgrade", "id": "no_such_thing" }
    ]});
    vec![
        ("POST", CLICKS, json!({ "clicks": 3 })),
        ("POST", CRANKS, json!({ "quantity": 7 })),
        ("POST", "/me/upgrades/work_gloves/purchase", json!({})),
        ("POST", "/me/actions", actions),
        ("PATCH", "/me", json!({ "display_name": "Ada" })),
        ("POST", "/me/prestige", json!({})),
    ]
}

/// A player who can afford all of them, including prestige.
async fn rich(app: &TestApp) -> Player {
    let guest = app.client.guest().await;
    guest.grant(1e13).await;
    guest.buy("fusion_reactor", json!("max")).await.expect(200);
    app.advance(600.0);
    guest.click(1).await.expect(200);
    guest
}

#[tokio::test]
async fn a_repeat_of_any_mutation_returns_the_first_outcome_and_the_current_state() {
    let app = TestApp::new().await;
    let player = rich(&app).await;
    for (method, path, body) in mutations() {
        let key = format!("{method} {path}").replace(' ', "-");
        let first = player.keyed(method, path, &key, Some(body.clone())).await.expect(200);
        assert!(!is_replay(&first), "{path}");
        let moved = player.click(1).await.expect(200).json["state"].clone();
        let repeat = player.keyed(method, path, &key, Some(body)).await.expect(200);
        assert!(is_replay(&repeat), "{path}");
        if path == "/me" {
            assert_eq!(repeat.json, moved);
        } else {
            assert_eq!(outcome(&repeat), outcome(&first), "{path}");
            assert_eq!(repeat.json["state"], moved, "{path}");
        }
    }
    player.assert_books_balance().await;
}

#[tokio::test]
async fn a_repeat_among_new_requests_applies_nothing_and_delays_none() {
    let app = TestApp::new().await;
    let player = rich(&app).await;
    let all = json!({ "quantity": "max" });
    let first = player.keyed("POST", CRANKS, "spent", Some(all.clone())).await.expect(200);
    for round in 0..10 {
        app.advance(1.0);
        let before = player.state().await["version"].as_u64().expect("a version");
        let new = (0..8).map(|number| {
            let key = format!("new-{round}-{number}");
            let player = &player;
            async move {
                player.keyed("POST", CLICKS, &key, Some(json!({ "clicks": 1 }))).await.expect(200)
            }
        });
        // By now the player could not afford it.
        let repeat = player.keyed("POST", CRANKS, "spent", Some(all.clone()));
        let (clicks, repeat) = tokio::join!(join_all(new), repeat);
        let repeat = repeat.expect(200);
        assert!(is_replay(&repeat) && outcome(&repeat) == outcome(&first));
        assert!(!clicks.iter().any(is_replay));
        assert_eq!(player.state().await["version"], before + 8);
    }
    player.assert_books_balance().await;
}

#[tokio::test]
async fn a_key_reused_with_another_body_or_path_is_refused() {
    let app = TestApp::new().await;
    let player = rich(&app).await;
    for (index, (method, path, body)) in mutations().into_iter().enumerate() {
        let key = format!("key-{index}");
        player.keyed(method, path, &key, Some(body.clone())).await.expect(200);
        let before = player.state().await;
        let mut calls = mutations();
        calls.retain(|call| call.1 != path);
        calls.push(("POST", "/me/generators/solar_panel/purchase", json!({ "quantity": 7 })));
        calls.push(("POST", CLICKS, json!({ "clicks": 4 })));
        for (method, path, body) in calls {
            let reply = player.keyed(method, path, &key, Some(body)).await;
            reply.expect_problem(422, "idempotency_key_reused");
        }
        assert_eq!(player.state().await, before);
    }
}

#[tokio::test]
async fn a_repeat_is_recognised_in_any_notation_of_its_body() {
    let app = TestApp::new().await;
    let player = rich(&app).await;
    let actions = r#"{"actions":[{"type":"click","clicks":2},{"type":"buy_generator","id":"hand_crank","quantity":1}]}"#;
    let reordered = r#"{ "actions": [ {"clicks": 2.0, "type": "click"}, {"quantity":1e0, "id":"hand_cr\u0061nk","type":"buy_generator"} ] }"#;
    for (number, (method, path, first, again, other)) in [
        ("POST", CLICKS, r#"{"clicks":3}"#, r#" { "clicks" : 3.0 } "#, r#"{"clicks":2}"#),
        (
            "POST",
            CRANKS,
            r#"{"quantity":5,"expected_version":null}"#,
            r#"{"quantity":5.0}"#,
            r#"{"quantity":"max"}"#,
        ),
        ("POST", "/me/upgrades/work_gloves/purchase", "{}", "", r#"{"expected_version":0}"#),
        ("POST", "/me/actions", actions, reordered, r#"{"actions":[{"type":"click","clicks":2}]}"#),
        (
            "PATCH",
            "/me",
            r#"{"display_name":"é"}"#,
            r#"{"display_name":" e\u0301 "}"#,
            r#"{"display_name":"e"}"#,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let send = async |body: &str| {
            let request = player.client.request(method, &format!("/api/v1{path}"));
            let request = request
                .bearer_auth(&player.token)
                .header("Idempotency-Key", format!("written-{number}"));
            let request = request.header("Content-Type", "application/json").body(body.to_owned());
            player.client.send(request).await
        };
        assert!(!is_replay(&send(first).await.expect(200)), "{path}");
        let before = player.state().await["version"].clone();
        for body in [again, first] {
            assert!(is_replay(&send(body).await.expect(200)), "{path} {body}");
        }
        send(other).await.expect_problem(422, "idempotency_key_reused");
        assert_eq!(player.state().await["version"], before, "{path}");
    }
}

/// The previous release recognised repeats by the bytes of their bodies.
#[tokio::test]
async fn a_repeat_of_a_request_to_the_previous_release_is_recognised() {
    let app = TestApp::new().await;
    let player = rich(&app).await;
    let click = json!({ "clicks": 3 });
    player.keyed("POST", CLICKS, "old", Some(click.clone())).await.expect(200);
    let path = "POST /api/v1/me/clicks";
    let bytes = Sha256::new().chain_update(path).chain_update([0]).chain_update(click.to_string());
    let hash = &bytes.finalize()[..16];
    let database = app.world.connect().await;
    let set = "update idempotency_records set request_hash = $1, command_hash = null";
    assert_eq!(database.execute(set, &[&hash]).await.expect("set"), 1);
    assert!(is_replay(&player.keyed("POST", CLICKS, "old", Some(click)).await.expect(200)));
    let other = player.keyed("POST", CLICKS, "old", Some(json!({ "clicks": 4 }))).await;
    other.expect_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_key_of_another_request_does_not_delete_the_account() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let click = json!({ "clicks": 1 });
    player.keyed("POST", CLICKS, "k", Some(click.clone())).await.expect(200);
    let refused = player.keyed("DELETE", "/me", "k", None).await;
    refused.expect_problem(422, "idempotency_key_reused");
    assert_eq!(player.state().await["version"], 1);
    app.advance(601.0);
    player.keyed("DELETE", "/me", "k", None).await.expect(204);
}

#[tokio::test]
async fn only_the_player_may_repeat_its_deletion() {
    let world = World::new().await;
    let (app, other) = (world.start().await, world.start().await);
    let player = app.client.guest().await;
    let first = player.keyed("DELETE", "/me", "bye", None).await.expect(204);
    assert!(!is_replay(&first));
    for player in [&player, &player.at(&other)] {
        assert!(is_replay(&player.keyed("DELETE", "/me", "bye", None).await.expect(204)));
        let stranger = player.keyed("DELETE", "/me", "other", None).await;
        stranger.expect_problem(401, "unauthenticated");
        player.client.call("DELETE", "/me", &player.token, None).await.expect(401);
    }
}

#[tokio::test]
async fn keys_of_two_players_are_independent() {
    let app = TestApp::new().await;
    for player in [app.client.guest().await, app.client.guest().await] {
        let reply = player.keyed("POST", CLICKS, "same", Some(json!({ "clicks": 2 }))).await;
        assert!(!is_replay(&reply));
        assert_eq!(reply.expect(200).json["state"]["version"], 1);
    }
}

#[tokio::test]
async fn refusals_are_not_stored() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let (one, two) = (json!({ "quantity": 1 }), json!({ "quantity": 2 }));
    for body in [&one, &two] {
        let refused = player.post_keyed(CRANKS, "k", body.clone()).await;
        refused.expect_problem(409, "insufficient_energy");
    }
    player.grant(1000.0).await;
    let bought = player.post_keyed(CRANKS, "k", two.clone()).await.expect(200);
    assert!(!is_replay(&bought));
    player.post_keyed(CRANKS, "k", one).await.expect_problem(422, "idempotency_key_reused");
    assert!(is_replay(&player.post_keyed(CRANKS, "k", two).await.expect(200)));
}

#[tokio::test]
async fn keys_are_visible_ascii_and_limited_in_length() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let click = || Some(json!({ "clicks": 1 }));
    for key in ["", "two words", "k\u{e9}y", &"x".repeat(256)] {
        let reply = player.keyed("POST", CLICKS, key, click()).await;
        reply.expect_problem(400, "invalid_request");
    }
    player.keyed("POST", CLICKS, &"x".repeat(255), click()).await.expect(200);
    assert_eq!(player.state().await["version"], 1);
}

/// Repeats a request with keys of many ages, with clean-ups in between, and asserts that each is remembered for
/// `memory` seconds and no longer.
async fn assert_remembered_for(memory: u32, path: &str, body: Value, step: u32, steps: u32) {
    let world = World::new().await;
    let apps = [start_for_days(&world).await, start_for_days(&world).await];
    let mut player = apps[0].client.guest().await;
    player.grant(1e12).await;
    // The age in seconds of each key that is still stored.
    let mut keys: BTreeMap<u32, u32> = BTreeMap::new();
    for turn in 0..steps {
        let app = &apps[turn as usize % 2];
        player = player.refreshed().await.at(app);
        app.server.clean_up();
        app.run_jobs().await;
        for (key, age) in keys.clone() {
            let reply = player.post_keyed(path, &key.to_string(), body.clone()).await.expect(200);
            assert_eq!(is_replay(&reply), age < memory, "the key {key} at the age of {age} s");
            if age >= memory {
                keys.remove(&key);
            }
        }
        if turn % 3 == 0 {
            let reply = player.post_keyed(path, &turn.to_string(), body.clone()).await.expect(200);
            assert!(!is_replay(&reply));
            keys.insert(turn, 0);
        }
        world.advance(f64::from(step));
        for age in keys.values_mut() {
            *age += step;
        }
    }
    assert!(!keys.contains_key(&0), "none of the keys has lapsed: the test is too short");
}

#[tokio::test]
async fn keys_of_clicks_are_valid_for_ten_minutes() {
    assert_remembered_for(600, CLICKS, json!({ "clicks": 1 }), 59, 40).await;
}

#[tokio::test]
async fn other_keys_are_valid_for_a_day() {
    assert_remembered_for(86_400, CRANKS, json!({ "quantity": 1 }), 9_973, 30).await;
}

#[tokio::test]
async fn fifty_concurrent_repeats_on_three_instances_apply_once() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await, world.start().await];
    let player = rich(&apps[0]).await;
    for (method, path, body) in mutations() {
        // The answer to a mutation is never out of date, whichever instance wrote last.
        let version = async || count(&player.click(1).await.expect(200).json["state"]["version"]);
        let before = version().await;
        let copies = (0..50).map(|copy| {
            let (player, body) = (player.at(&apps[copy % 3]), body.clone());
            let key = format!("storm-at-{path}");
            async move { player.keyed(method, path, &key, Some(body)).await.expect(200) }
        });
        let replies = join_all(copies).await;
        assert_eq!(replies.iter().filter(|reply| !is_replay(reply)).count(), 1, "{path}");
        let first = replies.iter().find(|reply| !is_replay(reply)).expect("the first");
        if path != "/me" {
            assert!(replies.iter().all(|reply| outcome(reply) == outcome(first)), "{path}");
        }
        let applied = if path == "/me/actions" { 2 } else { 1 };
        assert_eq!(version().await, before + applied + 1, "{path}");
    }
    player.assert_books_balance().await;
}

#[tokio::test]
async fn fifty_concurrent_repeats_of_a_deletion_all_succeed() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await, world.start().await];
    let player = apps[0].client.guest().await;
    let copies = (0..50).map(|copy| {
        let player = player.at(&apps[copy % 3]);
        async move { player.keyed("DELETE", "/me", "bye", None).await.expect(204) }
    });
    let replies = join_all(copies).await;
    assert_eq!(replies.iter().filter(|reply| !is_replay(reply)).count(), 1);
}

#[tokio::test]
async fn a_key_is_found_by_index() {
    let world = World::new().await;
    let database = world.connect().await;
    let file = |path| std::fs::read_to_string(path).expect("a file");
    let session = file("sql/queries/lanes/session.sql");
    let find = file("sql/queries/idempotency/find.sql");
    // As a lane does it: the plan is made while the table is empty.
    database.batch_execute(&session).await.expect("set");
    let prepare = format!("prepare find (uuid[], bytea[], timestamptz, timestamptz) as {find}");
    database.batch_execute(&prepare).await.expect("prepared");
    let execute = "execute find(array['00000000-0000-7000-8000-000000000007'::uuid], array['\\x07'::bytea], now(), now())";
    database.batch_execute(execute).await.expect("executed");
    let fill = "insert into idempotency_records
        select slot, gen_random_uuid(), '\\x07', '\\x00', now(), '{}'
        from generate_series(1, 3000), unnest('{0,3,10,11}'::smallint[]) as slot";
    database.batch_execute(fill).await.expect("filled");
    let explain = format!("explain (analyze, buffers, format json) {execute}");
    let plan: Value = database.query_one(&explain, &[]).await.expect("explained").get(0);
    let pages = plan[0]["Plan"]["Shared Hit Blocks"].as_u64().expect("a count");
    assert!(pages < 60, "{pages} pages for one key: {plan}");
}
