//! A map of limited size that forgets those entries first that are as good as new.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

/// Parts of a table, each with a lock of its own; a power of two.
const SHARDS: usize = 32;

/// Something that becomes as good as never seen.
pub trait Fading {
    /// When, on a scale of the table's own. What is later is kept longer.
    fn fades_at(&self) -> u64;
}

/// Keys are chosen by clients: they are hashed with a seed that nobody knows.
type Shard<K, V> = HashMap<K, V, RandomState>;

/// The map. It holds at most so many entries, whoever makes them up.
#[derive(Debug)]
pub struct Table<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    /// Keys are chosen by clients, and must not all be made to fall into one shard.
    hasher: RandomState,
    most: usize,
}

impl<K: Copy + Eq + Hash, V: Fading> Table<K, V> {
    /// A table of at most `most` entries.
    pub fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::default(), most: (most / SHARDS).max(2) }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        // The maps use the low bits of another hash.
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the entry of a key, which is made where there is none.
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

    /// Does something with the entry of a key that was there a moment ago.
    pub fn with_known<T>(&self, key: &K, act: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.shard(key).get_mut(key).map(act)
    }

    /// Forgets what has faded by then, and gives its memory back.
    pub fn forget(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, value| value.fades_at() > now);
            if shard.capacity() > 4 * shard.len() {
                shard.shrink_to_fit();
            }
        }
    }

    /// Entries that there are.
    pub fn len(&self) -> usize {
        let lengths = self.shards.iter();
        lengths.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// Drops the quarter that fades first. Whoever is being held back fades last and is not let off by a crowd.
fn make_room<K: Copy + Eq + Hash, V: Fading>(shard: &mut Shard<K, V>) {
    let mut times: Vec<u64> = shard.values().map(Fading::fades_at).collect();
    let quarter = times.len() / 4;
    let (_, &mut horizon, _) = times.select_nth_unstable(quarter);
    // Where many fade at the same moment no more than the quarter goes.
    let mut excess = quarter + 1;
    shard.retain(|_, value| {
        let goes = value.fades_at() <= horizon && excess > 0;
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl Fading for At {
        fn fades_at(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_table_stays_within_its_size_and_keeps_what_fades_last() {
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
    fn what_has_faded_is_forgotten() {
        let table = Table::new(1024);
        for key in 0..100 {
            table.with(key, || At(key), |_| ());
        }
        table.forget(89);
        assert_eq!(table.len(), 10);
    }

    #[test]
    fn equal_times_do_not_empty_a_table() {
        let table = Table::new(1024);
        for key in 0..10_000 {
            table.with(key, || At(7), |_| ());
        }
        assert!(table.len() > 512, "{}", table.len());
    }
}
