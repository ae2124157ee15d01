//! Limits how many polls of a player wait at the same time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::telemetry::metrics::Level;

/// The largest number of waiting polls of a player.
const MOST_POLLS: u32 = 4;

/// The waiting polls of each player.
#[derive(Debug)]
pub(super) struct Polls {
    by_player: Mutex<HashMap<Uuid, u32>>,
    /// The number of all waiting polls.
    waiting: Level,
}

/// A waiting poll. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    polls: &'a Polls,
    player: Uuid,
}

impl Polls {
    pub(super) fn new(waiting: Level) -> Self {
        Self { by_player: Mutex::default(), waiting }
    }

    /// Begins a poll; `None` if too many polls of the player wait.
    pub(super) fn begin(&self, player: Uuid) -> Option<Place<'_>> {
        let mut polls = self.lock();
        let count = polls.entry(player).or_insert(0);
        if *count == MOST_POLLS {
            return None;
        }
        *count += 1;
        self.waiting.inc();
        Some(Place { polls: self, player })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        self.by_player.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.polls.waiting.dec();
        let mut polls = self.polls.lock();
        if let Some(count) = polls.get_mut(&self.player) {
            *count -= 1;
            if *count == 0 {
                polls.remove(&self.player);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_has_four_polls_and_nothing_remains_of_them() {
        let waiting = Level::new("waiting", "Polls that wait").expect("a gauge");
        let (polls, [one, other]) = (Polls::new(waiting.clone()), [1, 2].map(Uuid::from_u128));
        let mut places: Vec<_> = (0..MOST_POLLS).map_while(|_| polls.begin(one)).collect();
        assert_eq!(places.len(), 4);
        assert!(polls.begin(one).is_none() && polls.begin(other).is_some());
        assert_eq!(waiting.get(), 4);
        places.pop();
        assert!(polls.begin(one).is_some());
        places.clear();
        assert!(polls.lock().is_empty());
        assert_eq!(waiting.get(), 0);
    }
}
