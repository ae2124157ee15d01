//! Generating one plausible player, who owns more the further it has progressed.

use uuid::Uuid;

use super::names;
use crate::domain::{Player, Requirement, Season, Timeline, Timestamp};
use crate::store::players::PlayerRecord;
use crate::store::seed::SeedPlayer;

const DAY: f64 = 86_400.0;
/// The age of the oldest player, in days.
const OLDEST_DAYS: f64 = 90.0;
/// The lifetime energy of players ranges over this many powers of ten.
const DECADES: f64 = 15.0;

/// A random player as its row could be at `now`.
pub(super) fn plausible(timeline: &Timeline, now: Timestamp) -> SeedPlayer {
    let created_at = now.plus_seconds(-chance() * OLDEST_DAYS * DAY);
    // Most players were last seen long ago, few recently.
    let present = now.seconds_since(created_at) * (1.0 - chance().powi(3));
    let seen_at = created_at.plus_seconds(present).min(now);
    let mut player = Player::new(names::random().into(), &timeline.rules, seen_at);
    // Most players have little lifetime energy, few have much.
    let lifetime = 10f64.powf(DECADES * chance().powi(3)) * (0.5 + chance());
    let catalogue = timeline.at(seen_at);
    for generator in &catalogue.items().generators {
        let share = lifetime * 0.2 * chance();
        let owned = generator.costs().affordable(0, share);
        if owned > 0 {
            player.inventory.add_generators(&generator.id, owned);
        }
    }
    for upgrade in &catalogue.items().upgrades {
        let is_available = match &upgrade.requires {
            Some(Requirement::GeneratorOwned { generator, count }) => {
                player.inventory.owned(generator) >= *count
            }
            Some(Requirement::LifetimeEnergy { energy }) => lifetime >= *energy,
            None => true,
        };
        if is_available && upgrade.cost < lifetime * 0.1 && chance() < 0.8 {
            player.inventory.add_upgrade(upgrade.id.clone());
        }
    }
    player.lifetime_energy = lifetime;
    player.energy = lifetime * 0.3 * chance();
    if chance() < 0.5 {
        player.cores = (lifetime * 0.5 / timeline.rules.energy_per_core).sqrt().floor();
    }
    player.version = 1 + (present / 3600.0) as u64;
    if created_at < Season::at(seen_at).starts_at() {
        player.season_base = lifetime * (0.5 + 0.5 * chance());
    }
    let production = player.production(timeline, seen_at);
    SeedPlayer {
        energy_per_second: production.energy_per_second,
        accrues_until: player.accrues_until(&production),
        record: PlayerRecord {
            id: id(created_at),
            revision: 1,
            username: None,
            created_at,
            banned: false,
            catalogue_version: catalogue.version,
            player,
        },
    }
}

/// A random number from 0 to 1.
fn chance() -> f64 {
    rand::random()
}

/// A player's id that was made at that time.
fn id(at: Timestamp) -> Uuid {
    let micros = at.as_micros().unsigned_abs();
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{at, timeline};

    #[test]
    fn generated_players_satisfy_the_constraints_of_rows() {
        let (timeline, now) = (timeline(), at(0.0));
        let players: Vec<_> = (0..3000).map(|_| plausible(&timeline, now)).collect();
        for SeedPlayer { record, energy_per_second, accrues_until } in &players {
            let player = &record.player;
            let amounts = [player.energy, player.lifetime_energy, player.cores, *energy_per_second];
            assert!(amounts.iter().all(|amount| amount.is_finite() && *amount >= 0.0));
            assert!(player.energy <= player.lifetime_energy);
            assert!(player.season_base <= player.lifetime_energy);
            assert!(record.created_at <= player.settled_at && player.settled_at <= now);
            assert_eq!(player.season, Season::at(player.settled_at));
            assert!(*accrues_until > player.settled_at);
        }
        let producing = players.iter().filter(|it| it.energy_per_second > 0.0).count();
        assert!((300..3000).contains(&producing), "{producing}");
        let mut ids: Vec<_> = players.iter().map(|it| it.record.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), players.len());
    }
}
