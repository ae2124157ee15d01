//! A bounded map that drops entries that were not used recently. Each call takes constant amortised time.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hash};
use std::mem;

/// A map with two generations. Entries that are inserted or used move to the young generation. When the young
/// generation is full, or the owner calls [`Generations::turn`], it replaces the old generation, whose entries are
/// dropped.
///
/// The map has at most twice `capacity` entries. Unless the owner calls `turn`, it keeps at least the `capacity`
/// entries that were used last.
#[derive(Debug)]
pub struct Generations<K, V, S = RandomState> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher + Default> Generations<K, V, S> {
    /// An empty map with room for `capacity` entries in each generation.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), capacity }
    }

    /// The value of `key`; the call counts as a use.
    pub fn get(&mut self, key: K) -> Option<&mut V> {
        self.make_room();
        match self.young.entry(key) {
            Entry::Occupied(held) => Some(held.into_mut()),
            Entry::Vacant(place) => Some(place.insert(self.old.remove(&key)?)),
        }
    }

    /// Inserts or replaces the value of `key`.
    pub fn insert(&mut self, key: K, value: V) {
        self.make_room();
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// The value of `key`; the call does not count as a use.
    pub fn peek(&self, key: K) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// The value of `key`, inserted if there is none; the call counts as a use.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.make_room();
        let Self { young, old, .. } = self;
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    /// Removes and returns the old generation, and makes the young one old. An owner whose entries expire calls this
    /// regularly.
    pub fn turn(&mut self) -> HashMap<K, V, S> {
        mem::replace(&mut self.old, mem::take(&mut self.young))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether the map has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn make_room(&mut self) {
        if self.young.len() >= self.capacity {
            self.turn();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_dropped_by_the_second_turn_without_a_use() {
        let mut map: Generations<_, _> = Generations::new(10);
        map.insert('a', 1);
        map.insert('b', 2);
        map.turn();
        assert_eq!(map.get('a'), Some(&mut 1));
        map.turn();
        assert_eq!((map.get('a').copied(), map.get('b')), (Some(1), None));
        assert_eq!(map.len(), 1);
    }

    proptest! {
        #[test]
        fn the_entries_used_last_are_kept_with_their_latest_values(
            calls in prop::collection::vec((0..20u8, prop::option::of(any::<u16>())), 0..200),
            capacity in 1..8usize,
        ) {
            let mut map: Generations<u8, u16> = Generations::new(capacity);
            // In the order of their last use.
            let mut used: Vec<(u8, u16)> = Vec::new();
            for (key, put) in calls {
                let position = used.iter().position(|&(known, _)| known == key);
                let value = if let Some(value) = put {
                    map.insert(key, value);
                    Some(value)
                } else {
                    let got = map.get(key).copied();
                    let was_used_recently = position.is_some_and(|it| used.len() - it <= capacity);
                    prop_assert!(got.is_some() || !was_used_recently, "{key} was dropped");
                    prop_assert!(got.is_none() || got == position.map(|it| used[it].1));
                    got
                };
                used.retain(|&(known, _)| known != key);
                used.extend(value.map(|value| (key, value)));
                prop_assert!(map.len() <= 2 * capacity, "{} entries", map.len());
            }
        }
    }
}
