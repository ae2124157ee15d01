//! A small catalogue for the tests of the rules.

use std::sync::Arc;

use super::{
    Catalogue, CatalogueItems, Effect, Generator, Requirement, Slug, Texts, Timeline, Timestamp,
    Upgrade,
};

/// The time `seconds` after an arbitrary fixed time, at which tests begin.
pub fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).plus_seconds(seconds)
}

pub fn slug(text: &str) -> Slug {
    Slug::try_from(text).expect("a valid slug")
}

fn generator(id: &str, base_cost: f64, rate: f64) -> Generator {
    Generator {
        id: slug(id),
        name: id.into(),
        description: id.into(),
        texts: Texts::default(),
        base_cost,
        cost_growth: 1.15,
        base_energy_per_second: rate,
        available: id != "relic",
    }
}

fn upgrade(id: &str, cost: f64, effect: Effect, requires: Option<Requirement>) -> Upgrade {
    Upgrade {
        id: slug(id),
        name: id.into(),
        description: id.into(),
        texts: Texts::default(),
        cost,
        effect,
        requires,
        available: true,
    }
}

fn items(crank_rate: f64) -> CatalogueItems {
    let crank = || slug("crank");
    CatalogueItems {
        generators: vec![
            generator("crank", 10.0, crank_rate),
            generator("mill", 100.0, 4.0),
            generator("star", 1e300, 1e300),
            generator("relic", 1.0, 1.0),
        ],
        upgrades: vec![
            upgrade(
                "better_crank",
                50.0,
                Effect::GeneratorMultiplier { generator: crank(), multiplier: 2.0 },
                Some(Requirement::GeneratorOwned { generator: crank(), count: 5 }),
            ),
            upgrade("grid", 500.0, Effect::GlobalMultiplier { multiplier: 1.5 }, None),
            upgrade("gloves", 20.0, Effect::ClickFlat { energy: 4.0 }, None),
            upgrade("dynamo", 20.0, Effect::ClickShare { share: 0.05 }, None),
            upgrade(
                "battery",
                20.0,
                Effect::OfflineCap { seconds: 3600.0 },
                Some(Requirement::LifetimeEnergy { energy: 1000.0 }),
            ),
        ],
    }
}

/// A catalogue whose crank produces 0.5 energy per second.
pub fn catalogue() -> Catalogue {
    Catalogue::new(1, at(-1e9), items(0.5), CatalogueItems::default())
}

pub fn timeline() -> Timeline {
    Timeline::new(Arc::default(), vec![Arc::new(catalogue())]).expect("one catalogue")
}

/// [`catalogue`], followed `change` seconds after `at(0.0)` by another one, whose crank produces three times as much.
pub fn two_catalogues(change: f64) -> Timeline {
    let second = Catalogue::new(2, at(change), items(1.5), CatalogueItems::default());
    Timeline::new(Arc::default(), vec![Arc::new(catalogue()), Arc::new(second)])
        .expect("two catalogues")
}
