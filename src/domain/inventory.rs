//! What a player owns.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::production::Production;
use super::rules::Rules;
use super::slug::Slug;

/// The generators and upgrades of one player. Copies share their content until one of them changes: most writes of a
/// player leave it as it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(Arc<Items>);

/// Both lists are short, so they are kept as plain lists.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Items {
    /// Kinds owned with their counts, each at least one, in the order of their first purchase.
    generators: Vec<(Slug, u64)>,
    /// In the order of purchase.
    upgrades: Vec<Slug>,
    /// What they make, as it was reckoned last.
    #[serde(skip)]
    rated: Mutex<Option<Rated>>,
}

/// A production, and what it was reckoned from beside the items.
#[derive(Clone, Debug)]
struct Rated {
    catalogue_version: u64,
    cores: f64,
    rules: Rules,
    production: Production,
}

impl Clone for Items {
    /// A copy that is about to change: what it makes will be something else.
    fn clone(&self) -> Self {
        let Self { generators, upgrades, .. } = self;
        Self { generators: generators.clone(), upgrades: upgrades.clone(), rated: Mutex::new(None) }
    }
}

impl PartialEq for Inventory {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other)
            || (&self.0.generators, &self.0.upgrades) == (&other.0.generators, &other.0.upgrades)
    }
}

impl Eq for Inventory {}

impl Inventory {
    /// What a player owns: kinds of generators with their counts, each at least one, and upgrades.
    pub fn new(generators: Vec<(Slug, u64)>, upgrades: Vec<Slug>) -> Self {
        Self(Arc::new(Items { generators, upgrades, rated: Mutex::default() }))
    }

    /// Whether both are the same without looking: neither has changed since one was copied from the other.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many of that generator are owned.
    pub fn owned(&self, id: &Slug) -> u64 {
        self.0.generators.iter().find(|(owned, _)| owned == id).map_or(0, |&(_, count)| count)
    }

    /// Whether that upgrade is owned.
    pub fn has_upgrade(&self, id: &Slug) -> bool {
        self.0.upgrades.contains(id)
    }

    /// The kinds of generators owned, with their counts.
    pub fn generators(&self) -> impl Iterator<Item = (&Slug, u64)> {
        self.0.generators.iter().map(|(id, count)| (id, *count))
    }

    /// The upgrades owned, in the order of purchase.
    pub fn upgrades(&self) -> impl Iterator<Item = &Slug> {
        self.0.upgrades.iter()
    }

    /// Adds `count` generators of one kind.
    pub fn add_generators(&mut self, id: &Slug, count: u64) {
        let items = self.change();
        match items.generators.iter_mut().find(|(owned, _)| owned == id) {
            Some((_, owned)) => *owned = owned.saturating_add(count),
            None => items.generators.push((id.clone(), count)),
        }
    }

    /// Adds an upgrade.
    pub fn add_upgrade(&mut self, id: Slug) {
        self.change().upgrades.push(id);
    }

    /// What the items make, reckoned once for as long as they are the same.
    pub(super) fn production(
        &self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Rules,
    ) -> Production {
        let mut rated = self.0.rated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rated) = rated.as_ref()
            && rated.catalogue_version == catalogue.version
            && rated.cores == cores
            && rated.rules == *rules
        {
            return rated.production.clone();
        }
        let production = Production::of(self, cores, catalogue, rules);
        *rated = Some(Rated {
            catalogue_version: catalogue.version,
            cores,
            rules: rules.clone(),
            production: production.clone(),
        });
        production
    }

    fn change(&mut self) -> &mut Items {
        let items = Arc::make_mut(&mut self.0);
        *items.rated.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        items
    }
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
    fn production_is_reckoned_again_when_anything_changes() {
        let (timeline, rules) = (two_catalogues(700.0), Rules::default());
        let (old, new) = (timeline.at(at(0.0)), timeline.at(at(700.0)));
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("crank"), 3);
        let frugal = Rules { bonus_per_core: 0.0, ..Rules::default() };
        for _ in 0..2 {
            for (cores, catalogue, rules) in
                [(0.0, old, &rules), (0.0, new, &rules), (5.0, new, &rules), (5.0, new, &frugal)]
            {
                let reckoned = Production::of(&inventory, cores, catalogue, rules);
                assert_eq!(inventory.production(cores, catalogue, rules), reckoned);
            }
            // The copy shares what was reckoned, and must not after it has changed.
            inventory = inventory.clone();
            inventory.add_generators(&slug("mill"), 1);
        }
    }
}
