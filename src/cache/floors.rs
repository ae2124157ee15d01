//! The revisions of players who are not in the cache, below which nothing may be served.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::slot::Floor;

/// Twice as long as anything stays in Redis: what is older than a floor that was forgotten is gone from there.
const GENERATION: Duration = Duration::from_secs(10);

/// Floors by player, remembered for one to two generations.
#[derive(Default)]
pub(super) struct Floors(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Uuid, Floor>,
    old: HashMap<Uuid, Floor>,
    turned_at: Option<Instant>,
}

impl Floors {
    /// Raises a player's floor.
    pub(super) fn raise(&self, player: Uuid, floor: Floor, now: Instant) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.turn(now);
        generations.young.entry(player).or_default().raise(floor);
    }

    /// The player's floor.
    pub(super) fn of(&self, player: Uuid) -> Floor {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut floor = generations.young.get(&player).copied().unwrap_or_default();
        floor.raise(generations.old.get(&player).copied().unwrap_or_default());
        floor
    }
}

impl Generations {
    fn turn(&mut self, now: Instant) {
        let turned_at = *self.turned_at.get_or_insert(now);
        if now.saturating_duration_since(turned_at) >= GENERATION {
            self.old = mem::take(&mut self.young);
            self.turned_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_rise_and_are_forgotten_after_two_generations_at_most() {
        let (floors, start) = (Floors::default(), Instant::now());
        let (player, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let floor = |revision| Floor { revision, changed_at: None };
        floors.raise(player, floor(7), start);
        floors.raise(player, floor(5), start);
        assert_eq!(floors.of(player), floor(7));
        floors.raise(other, floor(1), start + GENERATION);
        assert_eq!(floors.of(player), floor(7));
        floors.raise(other, floor(1), start + 2 * GENERATION);
        assert_eq!(floors.of(player), floor(0));
    }
}
