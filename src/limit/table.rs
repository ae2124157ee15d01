//! A map of bounded size. If it is full, entries that will soonest be equal to new ones are removed.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

/// Parts of a table, each with its own lock; a power of two.
const SHARDS: usize = 32;

/// An entry that becomes equal to a new entry after some time, so that it can be removed.
pub trait Forgettable {
    /// When the entry is equal to a new one, on the time scale of the table's owner. Entries with later times are kept
    /// longer.
    fn forgettable_at(&self) -> u64;
}

/// Clients can choose keys, so the hash has a secret seed.
type Shard<K, V> = HashMap<K, V, RandomState>;

/// The map. Clients cannot exceed its size, whichever keys they use.
#[derive(Debug)]
pub struct Table<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    /// Has a secret seed, so that clients cannot choose keys that all belong to one shard.
    hasher: RandomState,
    most: usize,
}

impl<K: Copy + Eq + Hash, V: Forgettable> Table<K, V> {
    /// A table of at most `most` entries.
    pub fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::default(), most: (most / SHARDS).max(2) }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        // The maps have hashers with other seeds, so using the low bits here does not cause collisions there.
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the entry of a key. A missing entry is created.
    pub fn with<T>(&self, key: K, make: impl FnOnce() -> V, act: impl FnOnce(&mut V) -> T) -> T {
        let mut shard = self.shard(&key);
        if let Some(value) = shard.get_mut(&key) {
            return act(value);
        }
        if shard.len() >= self.most {
            make_room(&mut shard);
        }
        act(shard.entry(key).or_insert_with(make))
    }

    /// Runs `act` on the entry of a key, if it exists.
    pub fn with_known<T>(&self, key: &K, act: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.shard(key).get_mut(key).map(act)
    }

    /// Removes entries that are equal to new ones at `now`, and frees their memory.
    pub fn forget(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, value| value.forgettable_at() > now);
            if shard.capacity() > 4 * shard.len() {
                shard.shrink_to_fit();
            }
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        let lengths = self.shards.iter();
        lengths.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// Removes the quarter of the entries with the earliest times. A client that is being limited has a late time, so
/// requests of many other clients do not reset its bucket.
fn make_room<K: Copy + Eq + Hash, V: Forgettable>(shard: &mut Shard<K, V>) {
    let mut times: Vec<u64> = shard.values().map(Forgettable::forgettable_at).collect();
    let quarter = times.len() / 4;
    let (_, &mut horizon, _) = times.select_nth_unstable(quarter);
    // Many entries may have the same time; at most a quarter and one are removed.
    let mut excess = quarter + 1;
    shard.retain(|_, value| {
        let is_removed = value.forgettable_at() <= horizon && excess > 0;
        excess -= usize::from(is_removed);
        !is_removed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl Forgettable for At {
        fn forgettable_at(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_full_table_keeps_the_entries_with_the_latest_times() {
        let table = Table::new(1024);
        for key in 0..100 {
            table.with(key, || At(u64::MAX), |_| ());
        }
        for key in 100..100_000 {
            table.with(key, || At(key), |_| ());
        }
        assert!(table.len() <= 1024, "{}", table.len());
        let kept = (0..100).filter(|key| table.with_known(key, |_| ()).is_some());
        assert_eq!(kept.count(), 100);
    }

    #[test]
    fn entries_equal_to_new_ones_are_removed() {
        let table = Table::new(1024);
        for key in 0..100 {
            table.with(key, || At(key), |_| ());
        }
        table.forget(89);
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn entries_with_equal_times_are_not_all_removed() {
        let table = Table::new(1024);
        for key in 0..10_000 {
            table.with(key, || At(7), |_| ());
        }
        assert!(table.len() > 512, "{}", table.len());
    }
}
