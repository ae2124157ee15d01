//! Settling in bulk: it writes what the rules say, to whom it may, and holds nobody up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idlewatt::domain::{Away, Inventory, Player as Rules, Slug, Timeline, Timestamp};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::books::{Dice, assert_close, eventually, number, revision, start_for_days};
use crate::support::{TestApp, World};

const PLAYERS: usize = 4_000;
const HOUR: f64 = 3600.0;

/// A number that spans the whole range of doubles.
fn amount(dice: &mut Dice) -> f64 {
    match dice.below(8) {
        0 => 0.0,
        1 => f64::MAX,
        2 => 10f64.powi(290 + dice.below(18) as i32),
        3 => f64::from_bits(dice.below(1000)),
        _ => 10f64.powi(dice.below(300) as i32 - 20) * (1.0 + dice.below(1_000_000) as f64 / 1e6),
    }
}

fn seconds(dice: &mut Dice, most: u64) -> f64 {
    match dice.below(6) {
        0 => 0.0,
        1 => dice.below(1_000_000) as f64 / 1e6,
        _ => dice.below(most * 1_000_000) as f64 / 1e6,
    }
}

/// A player somewhere in the middle of a life, as the rules know it.
fn somebody(dice: &mut Dice, timeline: &Timeline, now: Timestamp) -> Rules {
    let catalogue = timeline.newest();
    let mut inventory = Inventory::default();
    for generator in catalogue.generators() {
        let owned = match dice.below(6) {
            0 => 1 + dice.below(5),
            1 => dice.below(1_000_000_000_000),
            2 => dice.below(u64::MAX / 2),
            _ => 0,
        };
        if owned > 0 {
            inventory.add_generators(&generator.id, owned);
        }
    }
    for upgrade in catalogue.upgrades() {
        if dice.below(4) == 0 {
            inventory.add_upgrade(upgrade.id.clone());
        }
    }
    let mut player = Rules::new("Somebody".into(), &timeline.rules, now);
    player.inventory = inventory;
    player.energy = amount(dice);
    player.lifetime_energy = player.energy.max(amount(dice));
    player.unseen_energy = amount(dice);
    player.cores = [0.0, 7.0, 1e150][dice.below(3) as usize];
    player.last_seen_at = now.plus_seconds(-seconds(dice, 14 * 86_400));
    let settled = player.last_seen_at.plus_seconds(seconds(dice, 86_400));
    player.settled_at = settled.min(now);
    player
}

/// Writes players as the lanes do.
async fn insert(database: &tokio_postgres::Client, timeline: &Timeline, players: &[(Uuid, Rules)]) {
    for (id, player) in players {
        let production = player.production(timeline, player.settled_at);
        let inventory: Value = json!({
            "generators": player.inventory.generators()
                .map(|(id, owned)| (id.to_string(), json!(owned)))
                .collect::<serde_json::Map<_, _>>(),
            "upgrades": player.inventory.upgrades().map(Slug::to_string).collect::<Vec<_>>(),
        });
        let version = timeline.at(player.settled_at).version as i64;
        let parameters: [&(dyn ToSql + Sync); 11] = [
            id,
            &player.energy,
            &player.lifetime_energy,
            &player.unseen_energy,
            &player.settled_at,
            &player.last_seen_at,
            &player.accrues_until(&production),
            &production.energy_per_second,
            &version,
            &player.cores,
            &inventory,
        ];
        let sql = "insert into players (
                player_id, energy, lifetime_energy, unseen_energy, settled_at, last_seen_at, accrues_until,
                energy_per_second, catalogue_version, cores, inventory, click_tokens, clicks_filled_at, display_name,
                created_at
            ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $6, 'Somebody', $6)";
        let sql = database.prepare_typed(sql, &[]).await.expect("prepared");
        database.execute(&sql, &parameters).await.expect("inserted");
    }
}

#[track_caller]
fn assert_same(sql: f64, rules: f64, what: &str) {
    let scale = sql.abs().max(rules.abs());
    assert!((sql - rules).abs() <= 1e-12 * scale, "{what}: {sql} is not {rules}");
}
