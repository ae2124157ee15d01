//! What a player owns.

use serde::{Deserialize, Serialize};

use super::slug::Slug;

/// The generators and upgrades of one player. Both lists are short, so they are kept as plain lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Kinds owned with their counts, each at least one, in the order of their first purchase.
    generators: Vec<(Slug, u64)>,
    /// In the order of purchase.
    upgrades: Vec<Slug>,
}

impl Inventory {
    /// How many of that generator are owned.
    pub fn owned(&self, id: &Slug) -> u64 {
        self.generators.iter().find(|(owned, _)| owned == id).map_or(0, |&(_, count)| count)
    }

    /// Whether that upgrade is owned.
    pub fn has_upgrade(&self, id: &Slug) -> bool {
        self.upgrades.contains(id)
    }

    /// The kinds of generators owned, with their counts.
    pub fn generators(&self) -> impl Iterator<Item = (&Slug, u64)> {
        self.generators.iter().map(|(id, count)| (id, *count))
    }

    /// The upgrades owned, in the order of purchase.
    pub fn upgrades(&self) -> impl Iterator<Item = &Slug> {
        self.upgrades.iter()
    }

    /// Adds `count` generators of one kind.
    pub fn add_generators(&mut self, id: &Slug, count: u64) {
        match self.generators.iter_mut().find(|(owned, _)| owned == id) {
            Some((_, owned)) => *owned = owned.saturating_add(count),
            None => self.generators.push((id.clone(), count)),
        }
    }

    /// Adds an upgrade.
    pub fn add_upgrade(&mut self, id: Slug) {
        self.upgrades.push(id);
    }
}
