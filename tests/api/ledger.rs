//! The ledger, which records every purchase, grant and prestige of a player, with the balance after it.

use serde_json::{Value, json};

use crate::support::books::{Dice, assert_close, number, start_for_days};
use crate::support::{Player, TestApp, World};

/// The ledger entry that an action should add: kind, reference, and amount.
type Expected = (String, String, f64);

/// Performs one random action. Returns the entry that it adds to the ledger, if it adds one.
async fn play(player: &Player, dice: &mut Dice, generators: &[&str]) -> Option<Expected> {
    let upgrades = ["work_gloves", "oiled_bearings", "thicker_cables", "firm_grip", "smart_meters"];
    let (kind, reference, reply) = match dice.below(10) {
        0..=2 => {
            player.click(1 + dice.below(60)).await.expect(200);
            return None;
        }
        3..=6 => {
            let generator = *dice.pick(generators);
            let quantity = dice.pick(&[json!(1), json!(3), json!("max")]).clone();
            ("generator_purchase", generator.to_owned(), player.buy(generator, quantity).await)
        }
        7 => {
            let upgrade = *dice.pick(&upgrades);
            ("upgrade_purchase", upgrade.to_owned(), player.buy_upgrade(upgrade).await)
        }
        8 => {
            let energy = dice.below(1_000_000) as f64 / 7.0 + 0.1;
            player.grant(energy).await;
            return Some(("grant".into(), "for the test".into(), energy));
        }
        _ => {
            let before = number(&player.state().await["energy"]);
            let reply = player.post("/me/prestige", json!({})).await;
            if reply.status == 409 {
                assert_eq!(reply.code(), "nothing_to_gain");
                return None;
            }
            let cores = number(&reply.expect(200).json["state"]["cores"]);
            return Some(("prestige".into(), format!("{cores} cores"), -before));
        }
    };
    if reply.status == 409 {
        return None;
    }
    let spent = number(&reply.expect(200).json["spent"]);
    Some((kind.into(), reference, -spent))
}

#[tokio::test]
async fn each_balance_follows_from_the_previous_one() {
    let app = start_for_days(&World::new().await).await;
    let player = app.client.guest().await;
    let generators = ["hand_crank", "bicycle_dynamo", "solar_panel", "fission_reactor"];
    let mut dice = Dice::new(2026);
    let mut expected: Vec<Expected> = Vec::new();
    for round in 0..250 {
        if round == 80 {
            player.grant(1e10).await;
            expected.push(("grant".into(), "for the test".into(), 1e10));
        }
        expected.extend(play(&player, &mut dice, &generators).await);
        app.advance(dice.below(30_000) as f64 / 100.0);
    }
    let ledger = player.assert_books_balance().await;
    let field = |entry: &Value, name: &str| entry[name].as_str().expect("text").to_owned();
    assert_eq!(ledger.len(), expected.len());
    for (entry, (kind, reference, delta)) in ledger.iter().zip(&expected) {
        assert_eq!((&field(entry, "kind"), &field(entry, "reference")), (kind, reference));
        assert_close(number(&entry["delta"]), *delta);
        assert!(field(entry, "at").ends_with('Z') && entry["id"].is_u64(), "{entry}");
    }
    for kind in ["generator_purchase", "upgrade_purchase", "grant", "prestige"] {
        assert!(expected.iter().any(|it| it.0 == kind), "no action was a {kind}");
    }
    // Lifetime energy is everything that was earned: in entries, and after the last entry.
    let state = player.state().await;
    let earned: f64 = ledger.iter().map(|entry| number(&entry["earned"])).sum();
    let balance = number(&ledger.last().expect("an entry")["balance_after"]);
    let earned_since = number(&state["energy"]) - balance;
    assert_close(number(&state["lifetime_energy"]), earned + earned_since);
}

/// A player with `entries` ledger entries.
async fn with_entries(app: &TestApp, entries: u32) -> Player {
    let player = app.client.guest().await;
    for entry in 0..entries {
        player.grant(f64::from(entry + 1)).await;
    }
    player
}

fn ids(page: &Value) -> Vec<u64> {
    let entries = page["entries"].as_array().expect("entries").iter();
    entries.map(|entry| entry["id"].as_u64().expect("an id")).collect()
}

#[tokio::test]
async fn pages_are_newest_first_without_gaps_or_repeats() {
    let app = TestApp::new().await;
    let player = with_entries(&app, 60).await;
    let whole: Vec<u64> = (1..=60).rev().collect();
    let page = player.get("/me/ledger?limit=100").await.expect(200).json;
    assert_eq!((ids(&page), &page["next_cursor"]), (whole.clone(), &Value::Null));
    assert_eq!(ids(&player.get("/me/ledger").await.expect(200).json).len(), 50);
    for limit in [1, 7, 20, 59, 60] {
        let mut seen = Vec::new();
        let mut path = format!("/me/ledger?limit={limit}");
        loop {
            let page = player.get(&path).await.expect(200).json;
            let found = ids(&page);
            assert!((1..=limit).contains(&found.len()), "{} of {limit}", found.len());
            seen.extend(found);
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/me/ledger?limit={limit}&cursor={cursor}");
        }
        assert_eq!(seen, whole, "in pages of {limit}");
    }
    let first = player.get("/me/ledger?limit=10").await.expect(200).json;
    player.grant(1.0).await;
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = player.get(&format!("/me/ledger?limit=10&cursor={cursor}")).await.expect(200).json;
    assert_eq!(ids(&second), (41..=50).rev().collect::<Vec<u64>>(), "newer entries shift the page");
}

#[tokio::test]
async fn a_new_players_ledger_is_empty() {
    let app = TestApp::new().await;
    let page = app.client.guest().await.get("/me/ledger").await.expect(200).json;
    assert_eq!(page, json!({ "entries": [], "next_cursor": null }));
}

#[tokio::test]
async fn a_cursor_is_valid_only_for_its_own_list() {
    let app = TestApp::new().await;
    let (player, other) = (with_entries(&app, 3).await, with_entries(&app, 3).await);
    let page = player.get("/me/ledger?limit=1").await.expect(200).json;
    let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
    let get_page = async |player: &Player, cursor: &str| {
        player.get(&format!("/me/ledger?limit=1&cursor={cursor}")).await
    };
    assert_eq!(ids(&get_page(&player, &cursor).await.expect(200).json), [2]);
    get_page(&other, &cursor).await.expect_problem(400, "invalid_request");
    for position in 0..cursor.len() {
        let mut tampered = cursor.clone().into_bytes();
        tampered[position] = if tampered[position] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).expect("ASCII");
        get_page(&player, &tampered).await.expect_problem(400, "invalid_request");
    }
    for garbage in
        ["", "0", "AAAA", "%00", &"A".repeat(200), &cursor[1..], &format!("{cursor}AAAA")]
    {
        get_page(&player, garbage).await.expect_problem(400, "invalid_request");
    }
    let admin = app.client.admin("GET", &format!("/players?cursor={cursor}"), None).await;
    admin.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_page_has_one_to_a_hundred_entries() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    for limit in ["0", "101", "-1", "1.5", "ten", "", "99999999999999999999"] {
        let reply = player.get(&format!("/me/ledger?limit={limit}")).await;
        reply.expect_problem(400, "invalid_request");
    }
    player.get("/me/ledger?page=2").await.expect_problem(400, "invalid_request");
    for limit in [1, 100] {
        player.get(&format!("/me/ledger?limit={limit}")).await.expect(200);
    }
}
