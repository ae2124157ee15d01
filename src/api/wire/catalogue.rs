//! Requests and responses of the catalogue.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::number::{read_optional, read_whole};
use super::object::{object, objects, present_object};
use super::time::rfc3339;
use crate::domain::text;
use crate::domain::{
    Catalogue, CatalogueItems, Effect, Generator, ItemText, Requirement, Rules, Slug, Texts,
    Upgrade,
};

/// A machine that produces energy.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Generator)]
pub struct GeneratorWire {
    #[schema(example = "wind_turbine")]
    pub id: String,
    pub name: String,
    pub description: String,
    /// Its name and description in other languages; absent if there are none.
    #[serde(skip_serializing_if = "TextsWire::is_empty")]
    #[schema(required = false)]
    pub texts: TextsWire,
    /// If `k` are owned, the next `n` cost `base_cost * cost_growth^k * (cost_growth^n - 1) / (cost_growth - 1)`.
    pub base_cost: f64,
    pub cost_growth: f64,
    pub base_energy_per_second: f64,
    /// False for a retired generator: it cannot be bought, but those owned produce energy.
    pub available: bool,
}

/// An improvement that can be bought once and is lost at the next prestige.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Upgrade)]
pub struct UpgradeWire {
    #[schema(example = "work_gloves")]
    pub id: String,
    pub name: String,
    pub description: String,
    /// Its name and description in other languages; absent if there are none.
    #[serde(skip_serializing_if = "TextsWire::is_empty")]
    #[schema(required = false)]
    pub texts: TextsWire,
    pub cost: f64,
    pub effect: EffectWire,
    /// What a player must have before it can be bought; null if there is no requirement.
    #[schema(required)]
    pub requires: Option<RequirementWire>,
    /// False for a retired upgrade: it cannot be bought, but keeps its effect for its owners.
    pub available: bool,
}

/// A generator of a new catalogue.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratorRequest {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$", example = "wind_turbine")]
    pub id: String,
    #[schema(min_length = 1, max_length = 80, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: String,
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub description: String,
    /// Its name and description in other languages.
    #[serde(default, deserialize_with = "object")]
    pub texts: TextsWire,
    #[schema(minimum = 1e-6, maximum = 1e300)]
    pub base_cost: f64,
    #[schema(minimum = 1.001, maximum = 100)]
    pub cost_growth: f64,
    #[schema(minimum = 1e-6, maximum = 1e300)]
    pub base_energy_per_second: f64,
    /// The default is true; false retires it.
    #[serde(default = "available")]
    pub available: bool,
}

/// An upgrade of a new catalogue.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$", example = "work_gloves")]
    pub id: String,
    #[schema(min_length = 1, max_length = 80, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: String,
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub description: String,
    /// Its name and description in other languages.
    #[serde(default, deserialize_with = "object")]
    pub texts: TextsWire,
    #[schema(minimum = 1e-6, maximum = 1e300)]
    pub cost: f64,
    pub effect: EffectWire,
    #[serde(default)]
    pub requires: Option<RequirementWire>,
    /// The default is true; false retires it.
    #[serde(default = "available")]
    pub available: bool,
}

/// The name and the description of an item in languages other than English.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Texts)]
pub struct TextsWire {
    /// Korean.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present_object")]
    #[schema(nullable = false)]
    pub ko: Option<ItemTextWire>,
}

/// The name and the description of an item in one language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ItemText)]
pub struct ItemTextWire {
    #[schema(min_length = 1, max_length = 80, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub name: String,
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub description: String,
}

impl TextsWire {
    fn is_empty(&self) -> bool {
        self.ko.is_none()
    }
}

fn available() -> bool {
    true
}

/// The effect of an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Effect)]
pub enum EffectWire {
    /// Multiplies the production of one kind of generator.
    GeneratorMultiplier {
        #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$")]
        generator: String,
        #[schema(minimum = 1, maximum = 1e300)]
        multiplier: f64,
    },
    /// Multiplies the production of all generators.
    GlobalMultiplier {
        #[schema(minimum = 1, maximum = 1e300)]
        multiplier: f64,
    },
    /// Adds energy to each click.
    ClickFlat {
        #[schema(minimum = 1e-6, maximum = 1e300)]
        energy: f64,
    },
    /// Adds a share of one second's production to each click.
    ClickShare {
        #[schema(minimum = 1e-6, maximum = 1)]
        share: f64,
    },
    /// Extends the time for which production continues while the player is absent.
    OfflineCap {
        #[schema(minimum = 1, maximum = 31_622_400)]
        seconds: f64,
    },
}

/// What an upgrade requires in addition to its cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Requirement)]
pub enum RequirementWire {
    GeneratorOwned {
        #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$")]
        generator: String,
        #[serde(deserialize_with = "read_whole")]
        #[schema(minimum = 1, maximum = 1_000_000)]
        count: u64,
    },
    LifetimeEnergy {
        #[schema(minimum = 1e-6, maximum = 1e300)]
        energy: f64,
    },
}

/// Constants of the game. They are not part of the catalogue that operators change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rules)]
pub struct RulesWire {
    /// The energy of one click, before upgrades.
    pub energy_per_click: f64,
    /// Clicks that are credited per second on average.
    pub clicks_per_second: f64,
    /// Clicks that are credited at once after a pause.
    pub click_burst: f64,
    /// Seconds for which production continues while the player is absent, before upgrades.
    pub offline_cap_seconds: f64,
    /// Prestige gives `floor(sqrt(lifetime_energy / energy_per_core))` cores.
    pub energy_per_core: f64,
    /// The fraction that each core adds to the production.
    pub bonus_per_core: f64,
}

/// The items that can be bought, and the rules.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Catalog)]
pub struct CatalogWire {
    pub version: u64,
    /// The time from which it is in force for all players.
    #[schema(format = DateTime)]
    pub effective_at: String,
    pub generators: Vec<GeneratorWire>,
    pub upgrades: Vec<UpgradeWire>,
    pub rules: RulesWire,
}

/// The latest catalogue, and the version in force.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AdminCatalog)]
pub struct AdminCatalogWire {
    #[serde(flatten)]
    pub catalog: CatalogWire,
    /// The version in force now. It differs from `version` while a change is not in force yet.
    pub version_in_force: u64,
}

/// A new catalogue. The response of `GET` can be edited and sent back: `version`, `effective_at` and `version_in_force`
/// are set by the server and ignored; `rules` must be unchanged.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogRequest {
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 100)]
    pub generators: Vec<GeneratorRequest>,
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 300)]
    pub upgrades: Vec<UpgradeRequest>,
    #[serde(default, deserialize_with = "read_optional")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub version: Option<u64>,
    #[serde(default, deserialize_with = "read_optional")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub version_in_force: Option<u64>,
    #[serde(default)]
    pub effective_at: Option<String>,
    #[serde(default)]
    pub rules: Option<RulesWire>,
}

impl CatalogWire {
    /// A catalogue under `rules`.
    pub fn new(catalogue: &Catalogue, rules: &Rules) -> Self {
        let items = catalogue.items();
        Self {
            version: catalogue.version,
            effective_at: rfc3339(catalogue.effective_at),
            generators: items.generators.iter().map(GeneratorWire::from).collect(),
            upgrades: items.upgrades.iter().map(UpgradeWire::from).collect(),
            rules: rules.into(),
        }
    }
}

impl From<&Rules> for RulesWire {
    fn from(rules: &Rules) -> Self {
        Self {
            energy_per_click: rules.base_energy_per_click,
            clicks_per_second: rules.clicks_per_second,
            click_burst: rules.click_burst,
            offline_cap_seconds: rules.offline_cap_seconds,
            energy_per_core: rules.energy_per_core,
            bonus_per_core: rules.bonus_per_core,
        }
    }
}

impl From<&Generator> for GeneratorWire {
    fn from(generator: &Generator) -> Self {
        Self {
            id: generator.id.to_string(),
            name: generator.name.clone(),
            description: generator.description.clone(),
            texts: (&generator.texts).into(),
            base_cost: generator.base_cost,
            cost_growth: generator.cost_growth,
            base_energy_per_second: generator.base_energy_per_second,
            available: generator.available,
        }
    }
}

impl From<&Upgrade> for UpgradeWire {
    fn from(upgrade: &Upgrade) -> Self {
        Self {
            id: upgrade.id.to_string(),
            name: upgrade.name.clone(),
            description: upgrade.description.clone(),
            texts: (&upgrade.texts).into(),
            cost: upgrade.cost,
            effect: (&upgrade.effect).into(),
            requires: upgrade.requires.as_ref().map(RequirementWire::from),
            available: upgrade.available,
        }
    }
}

impl From<&Texts> for TextsWire {
    fn from(texts: &Texts) -> Self {
        let wire = |it: &ItemText| ItemTextWire {
            name: it.name.clone(),
            description: it.description.clone(),
        };
        Self { ko: texts.ko.as_ref().map(wire) }
    }
}

impl From<TextsWire> for Texts {
    fn from(texts: TextsWire) -> Self {
        let composed = |it: ItemTextWire| ItemText {
            name: text::composed(&it.name),
            description: text::composed(&it.description),
        };
        Self { ko: texts.ko.map(composed) }
    }
}

impl From<&Effect> for EffectWire {
    fn from(effect: &Effect) -> Self {
        match effect {
            Effect::GeneratorMultiplier { generator, multiplier } => Self::GeneratorMultiplier {
                generator: generator.to_string(),
                multiplier: *multiplier,
            },
            Effect::GlobalMultiplier { multiplier } => {
                Self::GlobalMultiplier { multiplier: *multiplier }
            }
            Effect::ClickFlat { energy } => Self::ClickFlat { energy: *energy },
            Effect::ClickShare { share } => Self::ClickShare { share: *share },
            Effect::OfflineCap { seconds } => Self::OfflineCap { seconds: *seconds },
        }
    }
}

impl From<&Requirement> for RequirementWire {
    fn from(requirement: &Requirement) -> Self {
        match requirement {
            Requirement::GeneratorOwned { generator, count } => {
                Self::GeneratorOwned { generator: generator.to_string(), count: *count }
            }
            Requirement::LifetimeEnergy { energy } => Self::LifetimeEnergy { energy: *energy },
        }
    }
}

/// An invalid name in a request: the field, and the rule that it violates.
pub type BadName = (String, &'static str);

fn slug(text: String, field: impl FnOnce() -> String) -> Result<Slug, BadName> {
    Slug::try_from(text).map_err(|message| (field(), message))
}

impl CatalogRequest {
    /// The items of the catalogue. Only names are validated here; the domain validates the rest.
    ///
    /// # Errors
    /// Returns the first invalid name.
    pub fn into_items(self) -> Result<CatalogueItems, BadName> {
        let generators = self.generators.into_iter().enumerate().map(|(index, it)| {
            Ok(Generator {
                id: slug(it.id, || format!("generators[{index}].id"))?,
                name: text::composed(&it.name),
                description: text::composed(&it.description),
                texts: it.texts.into(),
                base_cost: it.base_cost,
                cost_growth: it.cost_growth,
                base_energy_per_second: it.base_energy_per_second,
                available: it.available,
            })
        });
        let upgrades = self.upgrades.into_iter().enumerate().map(|(index, it)| {
            let at = format!("upgrades[{index}]");
            Ok(Upgrade {
                id: slug(it.id, || format!("{at}.id"))?,
                name: text::composed(&it.name),
                description: text::composed(&it.description),
                texts: it.texts.into(),
                cost: it.cost,
                effect: effect(it.effect, &at)?,
                requires: it.requires.map(|it| requirement(it, &at)).transpose()?,
                available: it.available,
            })
        });
        Ok(CatalogueItems {
            generators: generators.collect::<Result<_, BadName>>()?,
            upgrades: upgrades.collect::<Result<_, BadName>>()?,
        })
    }
}

fn effect(effect: EffectWire, at: &str) -> Result<Effect, BadName> {
    Ok(match effect {
        EffectWire::GeneratorMultiplier { generator, multiplier } => Effect::GeneratorMultiplier {
            generator: slug(generator, || format!("{at}.effect.generator"))?,
            multiplier,
        },
        EffectWire::GlobalMultiplier { multiplier } => Effect::GlobalMultiplier { multiplier },
        EffectWire::ClickFlat { energy } => Effect::ClickFlat { energy },
        EffectWire::ClickShare { share } => Effect::ClickShare { share },
        EffectWire::OfflineCap { seconds } => Effect::OfflineCap { seconds },
    })
}

fn requirement(requirement: RequirementWire, at: &str) -> Result<Requirement, BadName> {
    Ok(match requirement {
        RequirementWire::GeneratorOwned { generator, count } => Requirement::GeneratorOwned {
            generator: slug(generator, || format!("{at}.requires.generator"))?,
            count,
        },
        RequirementWire::LifetimeEnergy { energy } => Requirement::LifetimeEnergy { energy },
    })
}
