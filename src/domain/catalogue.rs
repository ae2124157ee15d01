//! The catalogue: the generators and upgrades that players can buy, and their validation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::cost::CostCurve;
use super::slug::Slug;
use super::text::{self, TextLimits};
use super::time::Timestamp;

/// A machine that produces energy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    pub id: Slug,
    pub name: String,
    pub description: String,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub texts: Texts,
    /// Cost of the first unit, in energy.
    pub base_cost: f64,
    /// The factor by which each unit costs more than the one before.
    pub cost_growth: f64,
    /// Energy that each unit produces per second, before multipliers.
    pub base_energy_per_second: f64,
    /// Whether players can buy it. Units that players own produce energy in any case.
    #[serde(default = "yes")]
    pub available: bool,
}

impl Generator {
    /// The costs of its units.
    pub fn costs(&self) -> CostCurve {
        CostCurve { base: self.base_cost, growth: self.cost_growth }
    }
}

/// An item's name and description in languages other than English.
///
/// An unknown language is skipped when this is read, because a later release may have stored it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// Korean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ko: Option<ItemText>,
}

impl Texts {
    fn is_empty(&self) -> bool {
        self.ko.is_none()
    }
}

/// The name and the description of an item in one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemText {
    pub name: String,
    pub description: String,
}

/// An improvement that each player can buy once and keeps until the next prestige.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    pub id: Slug,
    pub name: String,
    pub description: String,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub texts: Texts,
    /// Cost, in energy.
    pub cost: f64,
    pub effect: Effect,
    /// What a player must have before it can be bought; `None` if there is no requirement.
    #[serde(default)]
    pub requires: Option<Requirement>,
    /// Whether players can buy it. An upgrade that a player owns has its effect in any case.
    #[serde(default = "yes")]
    pub available: bool,
}

/// The effect of an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Multiplies the production of one kind of generator.
    GeneratorMultiplier { generator: Slug, multiplier: f64 },
    /// Multiplies the production of all generators.
    GlobalMultiplier { multiplier: f64 },
    /// Adds a fixed amount of energy to each click.
    ClickFlat { energy: f64 },
    /// Adds a share of one second's production to each click.
    ClickShare { share: f64 },
    /// Extends the time for which production continues while the player is absent.
    OfflineCap { seconds: f64 },
}

/// What an upgrade requires in addition to its cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Requirement {
    /// At least `count` units of one generator.
    GeneratorOwned { generator: Slug, count: u64 },
    /// At least `energy` lifetime energy.
    LifetimeEnergy { energy: f64 },
}

/// The default of `available`.
fn yes() -> bool {
    true
}

/// Generators and upgrades, in the form in which operators submit them and the database stores them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueItems {
    pub generators: Vec<Generator>,
    pub upgrades: Vec<Upgrade>,
}

/// The texts of all items of a catalogue, by the items' names. Items without texts are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CatalogueTexts {
    pub generators: BTreeMap<Slug, Texts>,
    pub upgrades: BTreeMap<Slug, Texts>,
}

impl CatalogueItems {
    /// Takes the texts out of the items.
    pub fn take_texts(&mut self) -> CatalogueTexts {
        let generators = self.generators.iter_mut().map(|it| (&it.id, &mut it.texts));
        let upgrades = self.upgrades.iter_mut().map(|it| (&it.id, &mut it.texts));
        CatalogueTexts { generators: taken(generators), upgrades: taken(upgrades) }
    }

    /// Gives the items those texts that belong to them.
    pub fn put_texts(&mut self, texts: CatalogueTexts) {
        let CatalogueTexts { mut generators, mut upgrades } = texts;
        for it in &mut self.generators {
            it.texts = generators.remove(&it.id).unwrap_or_default();
        }
        for it in &mut self.upgrades {
            it.texts = upgrades.remove(&it.id).unwrap_or_default();
        }
    }

    /// The texts of those items that have the same English name and description in `other`, taken from `other`.
    pub fn texts_like(&self, other: &Self) -> CatalogueTexts {
        let mut like = other.clone();
        like.generators.retain(|it| {
            let is_same =
                |own: &Generator| own.name == it.name && own.description == it.description;
            self.generators.iter().any(|own| own.id == it.id && is_same(own))
        });
        like.upgrades.retain(|it| {
            let is_same = |own: &Upgrade| own.name == it.name && own.description == it.description;
            self.upgrades.iter().any(|own| own.id == it.id && is_same(own))
        });
        like.take_texts()
    }
}

fn taken<'a>(items: impl Iterator<Item = (&'a Slug, &'a mut Texts)>) -> BTreeMap<Slug, Texts> {
    let with_texts = items.filter(|(_, texts)| !texts.is_empty());
    with_texts.map(|(id, texts)| (id.clone(), std::mem::take(texts))).collect()
}

/// An error in a catalogue: the field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueFault {
    /// Path of the field, such as `generators[2].base_cost`.
    pub field: String,
    pub message: String,
}

/// One version of the catalogue, validated and indexed.
#[derive(Debug)]
pub struct Catalogue {
    /// Increases by one with every change.
    pub version: u64,
    /// The time from which it is in force for all players.
    pub effective_at: Timestamp,
    items: CatalogueItems,
    removed: CatalogueItems,
    /// The positions of generators in `items`, followed by those in `removed`.
    generators: HashMap<Slug, usize>,
    /// The positions of upgrades in `items`, followed by those in `removed`.
    upgrades: HashMap<Slug, usize>,
}

impl Catalogue {
    /// Creates a catalogue of validated `items`.
    ///
    /// `removed` contains the last definitions of items that earlier versions contained and this one does not. Players
    /// cannot buy them, and they are not listed. They are needed for a player whose purchase was committed at the same
    /// time as the removal.
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

    /// The listed items.
    pub fn items(&self) -> &CatalogueItems {
        &self.items
    }

    /// The last definitions of items that earlier versions listed and this one does not.
    pub fn removed(&self) -> &CatalogueItems {
        &self.removed
    }

    /// The generator with this id, which may be a removed one.
    pub fn generator(&self, id: &Slug) -> Option<&Generator> {
        self.generator_position(id).and_then(|position| self.generator_at(position))
    }

    /// The upgrade with this id, which may be a removed one.
    pub fn upgrade(&self, id: &Slug) -> Option<&Upgrade> {
        let position = *self.upgrades.get(id)?;
        let listed = self.items.upgrades.get(position);
        listed.or_else(|| self.removed.upgrades.get(position - self.items.upgrades.len()))
    }

    /// Whether a generator with this id is listed. It may be one that cannot be bought.
    pub fn lists_generator(&self, id: &Slug) -> bool {
        self.generators.get(id).is_some_and(|&position| position < self.items.generators.len())
    }

    /// Whether an upgrade with this id is listed. It may be one that cannot be bought.
    pub fn lists_upgrade(&self, id: &Slug) -> bool {
        self.upgrades.get(id).is_some_and(|&position| position < self.items.upgrades.len())
    }

    /// The position of a generator in the catalogue. Removed generators follow the listed ones.
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

    /// The items that this catalogue or earlier ones contained and `next` does not: the `removed` of the next
    /// catalogue.
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

/// The largest number of generators in one catalogue.
pub const MAX_GENERATORS: usize = 100;
/// The largest number of upgrades in one catalogue.
pub const MAX_UPGRADES: usize = 300;
/// The smallest factor of cost growth. With a smaller one, the formula of `CostCurve` loses precision.
pub const MIN_COST_GROWTH: f64 = 1.001;
const MAX_COST_GROWTH: f64 = 100.0;
const MAX_AMOUNT: f64 = 1e300;
const MIN_AMOUNT: f64 = 1e-6;
const NAME: TextLimits = TextLimits { characters: 80, bytes: 512 };
const DESCRIPTION: TextLimits = TextLimits { characters: 500, bytes: 2048 };
const MAX_OFFLINE_CAP_SECONDS: f64 = 366.0 * 86_400.0;

impl CatalogueItems {
    /// All errors in the items. If there are none, the items are valid.
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

/// Collects the errors of a catalogue.
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

    fn texts(&mut self, at: &str, texts: &Texts) {
        if let Some(ko) = &texts.ko {
            self.text(format!("{at}.texts.ko.name"), &ko.name, NAME);
            self.text(format!("{at}.texts.ko.description"), &ko.description, DESCRIPTION);
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
        self.texts(at, &generator.texts);
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
        self.texts(at, &upgrade.texts);
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
