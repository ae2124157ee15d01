//! What a player owns.

use std::any::Any;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Both lists are short, so they are kept as plain lists. They change rarely and are kept by the hundred thousand, so they
/// take no more than they need.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Items {
    /// Kinds owned with their counts, each at least one, in the order of their first purchase.
    generators: Box<[(Slug, u64)]>,
    /// In the order of purchase.
    upgrades: Box<[Slug]>,
    #[serde(skip)]
    derived: Mutex<Derived>,
}

/// What was worked out from items, and is remembered until they change.
#[derive(Debug, Default)]
struct Derived {
    /// What they make.
    rated: Option<Rated>,
    memo: Option<Memo>,
}

type Memo = Arc<dyn Any + Send + Sync>;

/// A production, and what it was reckoned from beside the items.
#[derive(Clone, Debug)]
struct Rated {
    catalogue_version: u64,
    cores: f64,
    rules: Arc<Rules>,
    production: Production,
}

impl Clone for Items {
    /// A copy that is about to change: nothing that was worked out will hold.
    fn clone(&self) -> Self {
        let Self { generators, upgrades, .. } = self;
        Self {
            generators: generators.clone(),
            upgrades: upgrades.clone(),
            derived: Mutex::default(),
        }
    }
}

impl Items {
    fn derived(&self) -> MutexGuard<'_, Derived> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self(Arc::new(Items {
            generators: generators.into(),
            upgrades: upgrades.into(),
            derived: Mutex::default(),
        }))
    }

    /// Becomes a copy of `other` where both hold the same, so that what was worked out from it is at hand.
    pub fn share_with(&mut self, other: &Self) {
        if self == other {
            *self = other.clone();
        }
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
            None => push(&mut items.generators, (id.clone(), count)),
        }
    }

    /// Adds an upgrade.
    pub fn add_upgrade(&mut self, id: Slug) {
        push(&mut self.change().upgrades, id);
    }

    /// What the items make, reckoned once for as long as they are the same.
    pub(super) fn production(
        &self,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Arc<Rules>,
    ) -> Production {
        let mut derived = self.0.derived();
        if let Some(rated) = derived.rated.as_ref()
            && rated.catalogue_version == catalogue.version
            && rated.cores == cores
            && (Arc::ptr_eq(&rated.rules, rules) || rated.rules == *rules)
        {
            return rated.production.clone();
        }
        let production = Production::of(self, cores, catalogue, rules);
        derived.rated = Some(Rated {
            catalogue_version: catalogue.version,
            cores,
            rules: Arc::clone(rules),
            production: production.clone(),
        });
        production
    }

    /// What whoever shows the player has worked out, where it is of that type and `holds`; else what `make` makes, which
    /// is remembered until the items change.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn memo<T: Any + Send + Sync, E>(
        &self,
        holds: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let held = self.0.derived().memo.clone();
        if let Some(held) = held.and_then(|memo| memo.downcast::<T>().ok())
            && holds(&held)
        {
            return Ok(held);
        }
        let made = Arc::new(make()?);
        self.0.derived().memo = Some(Arc::clone(&made) as Memo);
        Ok(made)
    }

    /// Bytes that it takes, roughly, without what others remember by it. The text of slugs is shared.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Items>() + size_of_val(&*self.0.generators) + size_of_val(&*self.0.upgrades)
    }

    fn change(&mut self) -> &mut Items {
        let items = Arc::make_mut(&mut self.0);
        *items.derived.get_mut().unwrap_or_else(PoisonError::into_inner) = Derived::default();
        items
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
    fn production_is_reckoned_again_when_anything_changes() {
        let (timeline, rules) = (two_catalogues(700.0), Arc::new(Rules::default()));
        let (old, new) = (timeline.at(at(0.0)), timeline.at(at(700.0)));
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("crank"), 3);
        let frugal = Arc::new(Rules { bonus_per_core: 0.0, ..Rules::default() });
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

    #[test]
    fn equal_ones_are_made_one_and_others_are_not() {
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

    #[test]
    fn what_was_worked_out_is_kept_until_it_does_not_hold_or_the_items_change() {
        let mut inventory = Inventory::default();
        let memo = |wanted: u32| {
            let made = inventory.memo(|&held: &u32| held == wanted, || Ok::<_, ()>(wanted));
            *made.expect("made")
        };
        assert_eq!((memo(1), memo(1), memo(2)), (1, 1, 2));
        let mut made = 0;
        for _ in 0..3 {
            let copy = inventory.clone();
            let make = || {
                made += 1;
                Ok::<_, ()>(String::new())
            };
            copy.memo(|_: &String| true, make).expect("made");
        }
        assert_eq!(made, 1);
        inventory.add_upgrade(slug("gloves"));
        let again = inventory.memo(|_: &String| true, || Err("again")).err();
        assert_eq!(again, Some("again"));
    }
}
