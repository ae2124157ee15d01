//! What can be bought, as checked data.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::cost::CostCurve;
use super::slug::Slug;
use super::text::{self, TextLimits};
use super::time::Timestamp;

/// A machine that makes energy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    pub id: Slug,
    pub name: String,
    pub description: String,
    /// Cost of the first one, in energy.
    pub base_cost: f64,
    /// Factor of the cost from each one to the next.
    pub cost_growth: f64,
    /// Energy that each one makes in a second, before multipliers.
    pub base_energy_per_second: f64,
    /// Whether it can be bought; one that cannot goes on producing.
    #[serde(default = "yes")]
    pub available: bool,
}

impl Generator {
    /// Its price list.
    pub fn costs(&self) -> CostCurve {
        CostCurve { base: self.base_cost, growth: self.cost_growth }
    }
}

/// A lasting improvement that each player can buy once between two prestiges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    pub id: Slug,
    pub name: String,
    pub description: String,
    /// Cost, in energy.
    pub cost: f64,
    pub effect: Effect,
    /// What a player must have before it can be bought; nothing where absent.
    #[serde(default)]
    pub requires: Option<Requirement>,
    /// Whether it can be bought; one that cannot keeps its effect.
    #[serde(default = "yes")]
    pub available: bool,
}

/// What an upgrade does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Multiplies what one kind of generator makes.
    GeneratorMultiplier { generator: Slug, multiplier: f64 },
    /// Multiplies what all generators make.
    GlobalMultiplier { multiplier: f64 },
    /// Adds a fixed amount of energy to each click.
    ClickFlat { energy: f64 },
    /// Adds a share of one second's production to each click.
    ClickShare { share: f64 },
    /// Lengthens the time that production goes on without the player.
    OfflineCap { seconds: f64 },
}

/// What an upgrade asks for beside its cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Requirement {
    /// So many of one generator.
    GeneratorOwned { generator: Slug, count: u64 },
    /// So much energy over the player's whole life.
    LifetimeEnergy { energy: f64 },
}

fn yes() -> bool {
    true
}

/// Generators and upgrades as an operator writes them and as the database keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueItems {
    pub generators: Vec<Generator>,
    pub upgrades: Vec<Upgrade>,
}

/// A fault of a catalogue: where, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueFault {
    /// Path of the field, such as `generators[2].base_cost`.
    pub field: String,
    pub message: String,
}

/// One version of the catalogue, checked and indexed.
#[derive(Debug)]
pub struct Catalogue {
    /// Rises by one with every change.
    pub version: u64,
    /// The instant from which it holds for everybody.
    pub effective_at: Timestamp,
    items: CatalogueItems,
    removed: CatalogueItems,
    generators: HashMap<Slug, usize>,
    upgrades: HashMap<Slug, usize>,
}

impl Catalogue {
    /// Makes a catalogue of checked `items`.
    ///
    /// `removed` are the last definitions of what earlier versions had and this one has not. Nobody can buy or see
    /// them; they only keep a player whole whose purchase crossed with the removal.
    pub fn new(
        version: u64,
        effective_at: Timestamp,
        items: CatalogueItems,
        removed: CatalogueItems,
    ) -> Self {
        let generators = items.generators.iter().chain(&removed.generators);
        let upgrades = items.upgrades.iter().chain(&removed.upgrades);
        Self {
            version,
            effective_at,
            generators: generators.enumerate().map(|(index, it)| (it.id.clone(), index)).collect(),
            upgrades: upgrades.enumerate().map(|(index, it)| (it.id.clone(), index)).collect(),
            items,
            removed,
        }
    }

    /// What it lists.
    pub fn items(&self) -> &CatalogueItems {
        &self.items
    }

    /// What earlier versions listed and this one does not.
    pub fn removed(&self) -> &CatalogueItems {
        &self.removed
    }

    /// The generator of that name, removed ones included.
    pub fn generator(&self, id: &Slug) -> Option<&Generator> {
        self.generator_position(id).and_then(|position| self.generator_at(position))
    }

    /// The upgrade of that name, removed ones included.
    pub fn upgrade(&self, id: &Slug) -> Option<&Upgrade> {
        let position = *self.upgrades.get(id)?;
        let listed = self.items.upgrades.get(position);
        listed.or_else(|| self.removed.upgrades.get(position - self.items.upgrades.len()))
    }

    /// Whether a generator of that name is on sale or retired, not removed.
    pub fn lists_generator(&self, id: &Slug) -> bool {
        self.generators.get(id).is_some_and(|&position| position < self.items.generators.len())
    }

    /// Whether an upgrade of that name is on sale or retired, not removed.
    pub fn lists_upgrade(&self, id: &Slug) -> bool {
        self.upgrades.get(id).is_some_and(|&position| position < self.items.upgrades.len())
    }

    /// The place of a generator in the catalogue's order; removed ones follow the listed ones.
    pub(super) fn generator_position(&self, id: &Slug) -> Option<usize> {
        self.generators.get(id).copied()
    }

    pub(super) fn generator_at(&self, position: usize) -> Option<&Generator> {
        let listed = self.items.generators.get(position);
        listed.or_else(|| self.removed.generators.get(position - self.items.generators.len()))
    }

    pub(super) fn generator_count(&self) -> usize {
        self.generators.len()
    }

    /// What this catalogue and the ones before it have had and `next` has not: the `removed` of its successor.
    pub fn removed_by(&self, next: &CatalogueItems) -> CatalogueItems {
        let generators = self.items.generators.iter().chain(&self.removed.generators);
        let upgrades = self.items.upgrades.iter().chain(&self.removed.upgrades);
        CatalogueItems {
            generators: generators
                .filter(|old| next.generators.iter().all(|new| new.id != old.id))
                .cloned()
                .collect(),
            upgrades: upgrades
                .filter(|old| next.upgrades.iter().all(|new| new.id != old.id))
                .cloned()
                .collect(),
        }
    }
}

/// The most generators in one catalogue.
pub const MAX_GENERATORS: usize = 100;
/// The most upgrades in one catalogue.
pub const MAX_UPGRADES: usize = 300;
/// The least growth of a cost: below it the closed form of the series loses digits.
pub const MIN_COST_GROWTH: f64 = 1.001;
const MAX_COST_GROWTH: f64 = 100.0;
const MAX_AMOUNT: f64 = 1e300;
const MIN_AMOUNT: f64 = 1e-6;
const NAME: TextLimits = TextLimits { characters: 80, bytes: 512 };
const DESCRIPTION: TextLimits = TextLimits { characters: 500, bytes: 2048 };
const MAX_OFFLINE_CAP_SECONDS: f64 = 366.0 * 86_400.0;

impl CatalogueItems {
    /// Every fault of the whole: empty where it can be put in force.
    pub fn faults(&self) -> Vec<CatalogueFault> {
        let mut check = Check { faults: Vec::new(), generators: HashSet::new() };
        check.size("generators", self.generators.len(), 1, MAX_GENERATORS);
        check.size("upgrades", self.upgrades.len(), 0, MAX_UPGRADES);
        check.unique("generators", self.generators.iter().map(|it| &it.id));
        check.unique("upgrades", self.upgrades.iter().map(|it| &it.id));
        check.generators = self.generators.iter().map(|it| &it.id).collect();
        for (index, generator) in self.generators.iter().enumerate() {
            check.generator(&format!("generators[{index}]"), generator);
        }
        for (index, upgrade) in self.upgrades.iter().enumerate() {
            check.upgrade(&format!("upgrades[{index}]"), upgrade);
        }
        check.faults
    }
}

/// The walk over a catalogue that collects its faults.
struct Check<'a> {
    faults: Vec<CatalogueFault>,
    generators: HashSet<&'a Slug>,
}

impl Check<'_> {
    fn fault(&mut self, field: String, message: impl Into<String>) {
        self.faults.push(CatalogueFault { field, message: message.into() });
    }

    fn size(&mut self, field: &str, size: usize, least: usize, most: usize) {
        if !(least..=most).contains(&size) {
            self.fault(field.into(), format!("must have {least} to {most} entries"));
        }
    }

    fn unique<T: Eq + Hash + std::fmt::Display>(
        &mut self,
        list: &str,
        ids: impl Iterator<Item = T>,
    ) {
        let mut seen = HashSet::new();
        for (index, id) in ids.enumerate() {
            let message = format!("{id} is listed twice");
            if !seen.insert(id) {
                self.fault(format!("{list}[{index}].id"), message);
            }
        }
    }

    fn text(&mut self, field: String, text: &str, limits: TextLimits) {
        if let Err(unfit) = text::shown(text, limits) {
            self.fault(field, unfit.to_string());
        }
    }

    fn within(&mut self, field: String, value: f64, least: f64, most: f64) {
        if !(least..=most).contains(&value) {
            self.fault(
                field,
                format!("must be from {} to {}", text::number(least), text::number(most)),
            );
        }
    }

    fn known(&mut self, field: String, generator: &Slug) {
        if !self.generators.contains(generator) {
            self.fault(field, format!("no generator is named {generator}"));
        }
    }

    fn generator(&mut self, at: &str, generator: &Generator) {
        self.text(format!("{at}.name"), &generator.name, NAME);
        self.text(format!("{at}.description"), &generator.description, DESCRIPTION);
        self.within(format!("{at}.base_cost"), generator.base_cost, MIN_AMOUNT, MAX_AMOUNT);
        self.within(
            format!("{at}.cost_growth"),
            generator.cost_growth,
            MIN_COST_GROWTH,
            MAX_COST_GROWTH,
        );
        let rate = generator.base_energy_per_second;
        self.within(format!("{at}.base_energy_per_second"), rate, MIN_AMOUNT, MAX_AMOUNT);
    }

    fn upgrade(&mut self, at: &str, upgrade: &Upgrade) {
        self.text(format!("{at}.name"), &upgrade.name, NAME);
        self.text(format!("{at}.description"), &upgrade.description, DESCRIPTION);
        self.within(format!("{at}.cost"), upgrade.cost, MIN_AMOUNT, MAX_AMOUNT);
        match &upgrade.effect {
            Effect::GeneratorMultiplier { generator, multiplier } => {
                self.known(format!("{at}.effect.generator"), generator);
                self.within(format!("{at}.effect.multiplier"), *multiplier, 1.0, MAX_AMOUNT);
            }
            Effect::GlobalMultiplier { multiplier } => {
                self.within(format!("{at}.effect.multiplier"), *multiplier, 1.0, MAX_AMOUNT);
            }
            Effect::ClickFlat { energy } => {
                self.within(format!("{at}.effect.energy"), *energy, MIN_AMOUNT, MAX_AMOUNT);
            }
            Effect::ClickShare { share } => {
                self.within(format!("{at}.effect.share"), *share, MIN_AMOUNT, 1.0);
            }
            Effect::OfflineCap { seconds } => {
                self.within(format!("{at}.effect.seconds"), *seconds, 1.0, MAX_OFFLINE_CAP_SECONDS);
            }
        }
        match &upgrade.requires {
            Some(Requirement::GeneratorOwned { generator, count }) => {
                self.known(format!("{at}.requires.generator"), generator);
                self.within(format!("{at}.requires.count"), *count as f64, 1.0, 1e6);
            }
            Some(Requirement::LifetimeEnergy { energy }) => {
                self.within(format!("{at}.requires.energy"), *energy, MIN_AMOUNT, MAX_AMOUNT);
            }
            None => {}
        }
    }
}
