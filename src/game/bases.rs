//! The rows that a lane's next folds start from, kept from its last commits, so that most batches load nothing.
//!
//! A kept row may be out of date, as another instance may have written the player. It is only ever trusted for what a
//! revision guard confirms: an answer that comes with no write has to come from a row that was just read.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use crate::store::players::PlayerRecord;

/// Rows in each half.
const HALF: usize = 10_000;

/// Rows by player. Those not used for a while are forgotten: what is used moves to the young half, and when that is full
/// it becomes the old one, whose rows go.
#[derive(Debug, Default)]
pub(super) struct Bases {
    young: HashMap<Uuid, Arc<PlayerRecord>>,
    old: HashMap<Uuid, Arc<PlayerRecord>>,
}

impl Bases {
    /// Takes a player's row out. Whoever takes it puts back what it has become.
    pub(super) fn take(&mut self, player: Uuid) -> Option<Arc<PlayerRecord>> {
        self.young.remove(&player).or_else(|| self.old.remove(&player))
    }

    /// Keeps a row that was just read or written.
    pub(super) fn keep(&mut self, record: Arc<PlayerRecord>) {
        if self.young.len() >= HALF {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(record.id, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;
    use crate::domain::{Player, Rules};

    fn record(id: u128) -> Arc<PlayerRecord> {
        Arc::new(PlayerRecord {
            id: Uuid::from_u128(id),
            revision: 1,
            username: None,
            created_at: at(0.0),
            banned: false,
            catalogue_version: 1,
            player: Player::new("Ada".into(), &Rules::default(), at(0.0)),
        })
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut bases = Bases::default();
        bases.keep(record(0));
        for id in 1..=2 * HALF as u128 {
            bases.keep(record(id));
            if id % 1000 == 0 {
                let used = bases.take(Uuid::from_u128(0)).expect("it is in use");
                bases.keep(used);
            }
        }
        assert!(bases.take(Uuid::from_u128(1)).is_none());
        assert!(bases.take(Uuid::from_u128(2 * HALF as u128)).is_some());
        assert!(bases.young.len() + bases.old.len() <= 2 * HALF);
    }
}
