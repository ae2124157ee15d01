//! The generators and upgrades that a player owns.

use std::mem;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::production::Production;
use super::rules::Rules;
use super::slug::Slug;

/// The generators and upgrades of one player. Clones share their memory until one of them changes, because most changes
/// of a player do not change the inventory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory {
    items: Arc<Items>,
    /// The cached production of the items. It is ignored by comparisons and not serialized.
    #[serde(skip)]
    cached: Option<CachedProduction>,
}

/// Both lists are short, change rarely, and are kept in memory for many players. Therefore they are boxed slices, which
/// have no spare capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Items {
    /// The kinds of generators with the number of units, which is at least one, in the order of their first purchase.
    generators: Box<[(Slug, u64)]>,
    /// In the order of purchase.
    upgrades: Box<[Slug]>,
}

/// A production, and the values from which it was calculated in addition to the items.
#[derive(Clone, Debug)]
struct CachedProduction {
    catalogue_version: u64,
    cores: f64,
    rules: Arc<Rules>,
    production: Production,
}

impl CachedProduction {
    /// Whether the production was calculated from these values.
    fn is_valid_for(&self, cores: f64, catalogue: &Catalogue, rules: &Arc<Rules>) -> bool {
        self.catalogue_version == catalogue.version
            && self.cores == cores
            && (Arc::ptr_eq(&self.rules, rules) || self.rules == *rules)
    }
}

impl PartialEq for Inventory {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.items == other.items
    }
}

impl Eq for Inventory {}

impl Inventory {
    /// An inventory of generators, with the number of units of each (at least one), and of upgrades.
    pub fn new(generators: Vec<(Slug, u64)>, upgrades: Vec<Slug>) -> Self {
        let items = Items { generators: generators.into(), upgrades: upgrades.into() };
        Self { items: Arc::new(items), cached: None }
    }

    /// If both are equal, replaces this inventory by a clone of `other`, so that they share memory.
    pub fn share_with(&mut self, other: &Self) {
        if self == other {
            *self = other.clone();
        }
    }

    /// Whether both share their memory, which is the case if one is a clone of the other and neither has changed since.
    /// Does not compare items.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }

    /// The number of units that the player owns of a generator.
    pub fn owned(&self, id: &Slug) -> u64 {
        self.items.generators.iter().find(|(owned, _)| owned == id).map_or(0, |&(_, count)| count)
    }

    /// Whether the player owns an upgrade.
    pub fn has_upgrade(&self, id: &Slug) -> bool {
        self.items.upgrades.contains(id)
    }

    /// The kinds of generators that the player owns, with the number of units.
    pub fn generators(&self) -> impl Iterator<Item = (&Slug, u64)> {
        self.items.generators.iter().map(|(id, count)| (id, *count))
    }

    /// The upgrades that the player owns, in the order of purchase.
    pub fn upgrades(&self) -> impl Iterator<Item = &Slug> {
        self.items.upgrades.iter()
    }

    /// Adds `count` units of one generator.
    pub fn add_generators(&mut self, id: &Slug, count: u64) {
        let items = self.items_mut();
        match items.generators.iter_mut().find(|(owned, _)| owned == id) {
            Some((_, owned)) => *owned = owned.saturating_add(count),
            None => push(&mut items.generators, (id.clone(), count)),
        }
    }

    /// Adds an upgrade.
    pub fn add_upgrade(&mut self, id: Slug) {
        push(&mut self.items_mut().upgrades, id);
    }

    /// The production of the items, from the cache if possible.
    pub(super) fn production(
        &self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Arc<Rules>,
    ) -> Production {
        match &self.cached {
            Some(cached) if cached.is_valid_for(cores, catalogue, rules) => {
                cached.production.clone()
            }
            _ => Production::of(self, cores, catalogue, rules),
        }
    }

    /// Caches the production of the items, so that [`Inventory::production`] need not calculate it again until
    /// something changes.
    pub(super) fn cache_production(
        &mut self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Arc<Rules>,
    ) {
        if self.cached.as_ref().is_some_and(|it| it.is_valid_for(cores, catalogue, rules)) {
            return;
        }
        self.cached = Some(CachedProduction {
            catalogue_version: catalogue.version,
            cores,
            rules: Arc::clone(rules),
            production: Production::of(self, cores, catalogue, rules),
        });
    }

    /// The approximate size on the heap in bytes, without the texts of slugs, which many players share.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Items>()
            + size_of_val(&*self.items.generators)
            + size_of_val(&*self.items.upgrades)
    }

    /// The items for a change. Clears the cached production.
    fn items_mut(&mut self) -> &mut Items {
        self.cached = None;
        Arc::make_mut(&mut self.items)
    }
}

/// Appends an item without adding spare capacity.
fn push<T>(list: &mut Box<[T]>, item: T) {
    let mut longer = mem::take(list).into_vec();
    longer.reserve_exact(1);
    longer.push(item);
    *list = longer.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{at, slug, two_catalogues};

    #[test]
    fn a_copy_is_shared_until_it_changes() {
        let mut one = Inventory::default();
        one.add_generators(&slug("crank"), 3);
        let mut other = one.clone();
        assert!(other.is_shared_with(&one) && other == one);
        other.add_generators(&slug("crank"), 1);
        assert!(!other.is_shared_with(&one) && other != one);
        assert_eq!((one.owned(&slug("crank")), other.owned(&slug("crank"))), (3, 4));
    }

    #[test]
    fn production_is_calculated_again_when_anything_changes() {
        let (timeline, rules) = (two_catalogues(700.0), Arc::new(Rules::default()));
        let (old, new) = (timeline.at(at(0.0)), timeline.at(at(700.0)));
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("crank"), 3);
        let frugal = Arc::new(Rules { bonus_per_core: 0.0, ..Rules::default() });
        for _ in 0..2 {
            for (cores, catalogue, rules) in
                [(0.0, old, &rules), (0.0, new, &rules), (5.0, new, &rules), (5.0, new, &frugal)]
            {
                let calculated = Production::of(&inventory, cores, catalogue, rules);
                assert_eq!(inventory.production(cores, catalogue, rules), calculated);
                inventory.cache_production(cores, catalogue, rules);
                assert_eq!(inventory.production(cores, catalogue, rules), calculated);
            }
            // A change of the clone must clear its cached production.
            inventory = inventory.clone();
            inventory.add_generators(&slug("mill"), 1);
        }
    }

    #[test]
    fn only_equal_inventories_are_shared() {
        let of = |count| {
            let mut inventory = Inventory::default();
            inventory.add_generators(&slug("crank"), count);
            inventory
        };
        let (one, mut same, mut other) = (of(3), of(3), of(4));
        same.share_with(&one);
        other.share_with(&one);
        assert!(same.is_shared_with(&one));
        assert_eq!(other.owned(&slug("crank")), 4);
    }
}
