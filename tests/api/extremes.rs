//! Amounts at the ends of their range: nothing leaves the range, and nothing is paid beyond the offline cap.

use serde_json::{Value, json};

use crate::support::books::{Dice, assert_close, number, start_for_days};
use crate::support::{Player, Reply, World};

/// Asserts that the answer contains no number that JSON cannot express; such numbers would be null.
#[track_caller]
fn assert_finite(reply: &Reply) {
    fn check(path: &str, value: &Value) {
        match value {
            Value::Null => {
                let optional = [
                    "username",
                    "language",
                    "next_cost",
                    "next_cursor",
                    "user_agent",
                    "read_at",
                    "expires_at",
                ];
                let name = path.rsplit('.').next().unwrap_or_default();
                assert!(optional.contains(&name), "{path} is null");
            }
            Value::Array(items) => items.iter().for_each(|item| check(path, item)),
            Value::Object(members) => {
                members.iter().for_each(|(name, item)| check(&format!("{path}.{name}"), item));
            }
            Value::Number(number) => {
                let finite = number.as_f64().is_some_and(f64::is_finite);
                assert!(finite, "{path} is {number}");
            }
            Value::Bool(_) | Value::String(_) => {}
        }
    }
    assert!(!reply.json.is_null(), "no JSON: {}", reply.text);
    check("", &reply.json);
}

/// Sends a request that may be refused only by the rules.
async fn attempt(player: &Player, path: &str, body: Value) -> Reply {
    let reply = player.post(path, body).await;
    assert!([200, 409].contains(&reply.status), "{path}: {}", reply.text);
    assert_finite(&reply);
    reply
}

#[tokio::test]
async fn very_large_amounts_work_like_others() {
    let app = start_for_days(&World::new().await).await;
    let guest = app.client.guest().await;
    let catalog = app.client.call("GET", "/catalog", "", None).await.expect(200).json;
    let ids = |list: &str| -> Vec<String> {
        let items = catalog[list].as_array().expect("a list").iter();
        items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    for _ in 0..2 {
        for generator in ids("generators") {
            guest.grant(1e300).await;
            let path = format!("/me/generators/{generator}/purchase");
            attempt(&guest, &path, json!({ "quantity": 1_000_000 })).await.expect(409);
            attempt(&guest, &path, json!({ "quantity": "max" })).await.expect(200);
            attempt(&guest, &path, json!({ "quantity": "max" })).await;
        }
        guest.grant(1e300).await;
        for upgrade in ids("upgrades") {
            attempt(&guest, &format!("/me/upgrades/{upgrade}/purchase"), json!({})).await;
        }
        attempt(&guest, "/me/clicks", json!({ "clicks": 1000 })).await;
        app.advance(3.0 * 3600.0);
        let actions = json!([
            { "type": "click", "clicks": 1000 },
            { "type": "buy_generator", "id": "dyson_swarm", "quantity": "max" },
            { "type": "buy_upgrade", "id": "starlight_lens" }
        ]);
        attempt(&guest, "/me/actions", json!({ "actions": actions })).await.expect(200);
        for path in ["/me", "/me/ledger", "/me/export", &format!("/players/{}", guest.id)] {
            assert_finite(&guest.get(path).await.expect(200));
        }
        guest.assert_books_balance().await;
        attempt(&guest, "/me/prestige", json!({})).await.expect(200);
    }
    guest.assert_books_balance().await;
}

#[tokio::test]
async fn an_infinite_rate_is_limited_to_the_largest_number() {
    let world = World::new().await;
    let app = start_for_days(&world).await;
    let guest = app.client.guest().await;
    guest.grant(10.0).await;
    guest.buy("hand_crank", json!(1)).await.expect(200);
    let sql = "update players set revision = revision + 1, cores = 1e308, energy = 1.7e308, lifetime_energy = 1.7e308, \
        ledger_balance = 0, inventory = jsonb_set(inventory, '{generators,hand_crank}', \
        '9007199254740992') where player_id = $1::text::uuid";
    world.connect().await.execute(sql, &[&guest.id]).await.expect("written");
    for _ in 0..3 {
        app.advance(3600.0);
        assert_finite(&attempt(&guest, "/me/clicks", json!({ "clicks": 40 })).await.expect(200));
        attempt(&guest, "/me/generators/hand_crank/purchase", json!({ "quantity": "max" })).await;
        let state = guest.get("/me").await.expect(200);
        assert_finite(&state);
        assert_eq!(number(&state.json["energy"]), f64::MAX);
    }
}

#[tokio::test]
async fn energy_stops_rising_at_accrues_until() {
    let app = start_for_days(&World::new().await).await;
    let mut guest = app.client.guest().await;
    guest.grant(1000.0).await;
    guest.buy("hand_crank", json!(10)).await.expect(200);
    let time = |state: &Value, name: &str| -> f64 {
        let time: jiff::Timestamp = state[name].as_str().expect("a time").parse().expect("a time");
        time.as_microsecond() as f64 / 1e6
    };
    let mut dice = Dice::new(8);
    for _ in 0..30 {
        let before = guest.state().await;
        assert_eq!(time(&before, "accrues_until") - time(&before, "server_time"), 8.0 * 3600.0);
        // Within an hour and a half of the cap, before and after it.
        app.advance(6.5 * 3600.0 + dice.below(3 * 3600) as f64);
        guest = guest.refreshed().await;
        let after = guest.state().await;
        let end = time(&after, "server_time").min(time(&before, "accrues_until"));
        let seconds = end - time(&before, "server_time");
        let expected = number(&before["energy"]) + number(&before["energy_per_second"]) * seconds;
        assert_close(number(&after["energy"]), expected);
    }
}

#[tokio::test]
async fn a_row_with_nan_amounts_is_swept_and_played_without_crediting_them() {
    let world = World::new().await;
    let app = start_for_days(&world).await;
    let guest = app.client.guest().await;
    guest.grant(1000.0).await;
    guest.buy("hand_crank", json!(10)).await.expect(200);
    let before = guest.state().await;
    let database = world.connect().await;
    let sql = "update players set revision = revision + 1, unseen_energy = 'NaN', click_tokens = 'NaN', \
        ledger_balance = 'NaN', season_base = 'NaN' where player_id = $1::text::uuid";
    database.execute(sql, &[&guest.id]).await.expect("written");
    app.advance(700.0);
    let made = number(&before["energy_per_second"]) * 700.0;
    app.run_jobs().await;
    let sql = "select energy, unseen_energy, settled_at = last_seen_at from players \
        where player_id = $1::text::uuid";
    let row = database.query_one(sql, &[&guest.id]).await.expect("a player");
    assert!(!row.get::<_, bool>(2), "it was swept");
    assert_close(row.get(0), number(&before["energy"]) + made);
    assert_close(row.get(1), made);
    // The bucket has refilled since.
    let clicked = guest.click(1000).await.expect(200);
    assert_finite(&clicked);
    assert_eq!(clicked.json["accepted"], 40);
    assert_close(number(&clicked.json["state"]["away"]["energy"]), made);
    let bought = guest.buy("hand_crank", json!(1)).await.expect(200);
    assert_finite(&bought);
    for path in ["/me", "/me/ledger", "/me/export", "/rankings/me?board=season"] {
        assert_finite(&guest.get(path).await.expect(200));
    }
    let season = guest.get("/rankings/me?board=season").await.expect(200).json;
    assert_eq!(season["score"], 0.0, "the gain is unknown");
}

#[tokio::test]
async fn nan_click_tokens_count_as_none() {
    let world = World::new().await;
    let app = world.start().await;
    let guest = app.client.guest().await;
    let sql = "update players set revision = revision + 1, click_tokens = 'NaN' where player_id = $1::text::uuid";
    world.connect().await.execute(sql, &[&guest.id]).await.expect("written");
    app.advance(0.5);
    assert_eq!(guest.click(1000).await.expect(200).json["accepted"], 10);
}
