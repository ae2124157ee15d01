//! What a player owns.

use std::mem;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::production::Production;
use super::rules::Rules;
use super::slug::Slug;

/// The generators and upgrades of one player. Copies share them until one copy changes, because most writes of a player do
/// not change what it owns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory {
    items: Arc<Items>,
    /// The production of the items when it was last remembered. Not part of the value.
    #[serde(skip)]
    rated: Option<Rated>,
}

/// Both lists are short, change rarely, and are kept in memory for many players, so they are plain lists without spare
/// capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Items {
    /// Kinds owned with their counts, each at least one, in the order of their first purchase.
    generators: Box<[(Slug, u64)]>,
    /// In the order of purchase.
    upgrades: Box<[Slug]>,
}

/// A production, and what it was calculated from besides the items.
#[derive(Clone, Debug)]
struct Rated {
    catalogue_version: u64,
    cores: f64,
    rules: Arc<Rules>,
    production: Production,
}

impl Rated {
    fn is_of(&self, cores: f64, catalogue: &Catalogue, rules: &Arc<Rules>) -> bool {
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
    /// An inventory of generators with their counts, each at least one, and of upgrades.
    pub fn new(generators: Vec<(Slug, u64)>, upgrades: Vec<Slug>) -> Self {
        let items = Items { generators: generators.into(), upgrades: upgrades.into() };
        Self { items: Arc::new(items), rated: None }
    }

    /// Becomes a copy of `other` if both are equal, so that they share memory.
    pub fn share_with(&mut self, other: &Self) {
        if self == other {
            *self = other.clone();
        }
    }

    /// Whether one is a copy of the other and neither has changed since. Does not compare items.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }

    /// The number of units that are owned of a generator.
    pub fn owned(&self, id: &Slug) -> u64 {
        self.items.generators.iter().find(|(owned, _)| owned == id).map_or(0, |&(_, count)| count)
    }

    /// Whether an upgrade is owned.
    pub fn has_upgrade(&self, id: &Slug) -> bool {
        self.items.upgrades.contains(id)
    }

    /// The kinds of generators owned, with their counts.
    pub fn generators(&self) -> impl Iterator<Item = (&Slug, u64)> {
        self.items.generators.iter().map(|(id, count)| (id, *count))
    }

    /// The upgrades owned, in the order of purchase.
    pub fn upgrades(&self) -> impl Iterator<Item = &Slug> {
        self.items.upgrades.iter()
    }

    /// Adds `count` generators of one kind.
    pub fn add_generators(&mut self, id: &Slug, count: u64) {
        let items = self.change();
        match items.generators.iter_mut().find(|(owned, _)| owned == id) {
            Some((_, owned)) => *owned = owned.saturating_add(count),
            None => push(&mut items.generators, (id.clone(), count)),
        }
    }

    /// Adds an upgrade.
    pub fn add_upgrade(&mut self, id: Slug) {
        push(&mut self.change().upgrades, id);
    }

    /// The production of the items.
    pub(super) fn production(
        &self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Arc<Rules>,
    ) -> Production {
        match &self.rated {
            Some(rated) if rated.is_of(cores, catalogue, rules) => rated.production.clone(),
            _ => Production::of(self, cores, catalogue, rules),
        }
    }

    /// Remembers the production of the items, so that [`Inventory::production`] need not calculate it again while nothing
    /// changes.
    pub(super) fn remember_production(
        &mut self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Arc<Rules>,
    ) {
        if self.rated.as_ref().is_some_and(|rated| rated.is_of(cores, catalogue, rules)) {
            return;
        }
        self.rated = Some(Rated {
            catalogue_version: catalogue.version,
            cores,
            rules: Arc::clone(rules),
            production: Production::of(self, cores, catalogue, rules),
        });
    }

    /// Bytes on the heap, roughly. The text of slugs is shared and does not count.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Items>()
            + size_of_val(&*self.items.generators)
            + size_of_val(&*self.items.upgrades)
    }

    fn change(&mut self) -> &mut Items {
        self.rated = None;
        Arc::make_mut(&mut self.items)
    }
}

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
                inventory.remember_production(cores, catalogue, rules);
                assert_eq!(inventory.production(cores, catalogue, rules), calculated);
            }
            // The copy must forget the production when it changes.
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
