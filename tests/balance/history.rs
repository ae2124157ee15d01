//! The events of a simulated player, and statistics about them.

use std::collections::HashSet;

use idlewatt::domain::LedgerKind;

use super::habits;

/// The player's energy at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seconds since the player began.
    pub time: f64,
    pub lifetime_energy: f64,
    pub energy_per_second: f64,
}

/// A purchase or a prestige.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: LedgerKind,
    /// The slug of the item that was bought.
    pub reference: String,
    /// The player's cores after the event.
    pub cores: f64,
    /// The last sample before the event.
    pub before: Sample,
}

/// Events and samples, each in order of time.
#[derive(Default)]
pub struct History {
    pub events: Vec<Event>,
    pub samples: Vec<Sample>,
}

impl History {
    /// The first purchase of each generator.
    pub fn first_generators(&self) -> Vec<&Event> {
        self.first(LedgerKind::GeneratorPurchase)
    }

    /// The first purchase of each upgrade.
    pub fn first_upgrades(&self) -> Vec<&Event> {
        self.first(LedgerKind::UpgradePurchase)
    }

    pub fn prestiges(&self) -> Vec<&Event> {
        self.events.iter().filter(|event| event.kind == LedgerKind::Prestige).collect()
    }

    fn first(&self, kind: LedgerKind) -> Vec<&Event> {
        let mut seen = HashSet::new();
        let of_kind = self.events.iter().filter(|event| event.kind == kind);
        of_kind.filter(|event| seen.insert(&event.reference)).collect()
    }

    /// The first sample with at least this much lifetime energy.
    pub fn reached(&self, lifetime_energy: f64) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.lifetime_energy >= lifetime_energy)
    }

    /// The longest time between two purchases before `end`, in seconds in which the player was awake.
    pub fn longest_wait(&self, end: f64) -> f64 {
        let purchases = self.events.iter().filter(|event| event.kind != LedgerKind::Prestige);
        let times = purchases.map(|event| event.before.time).take_while(|time| *time < end);
        let mut last = 0.0;
        times.chain([end]).fold(0.0, |longest: f64, time| {
            let wait = habits::awake_between(last, time);
            last = time;
            longest.max(wait)
        })
    }
}
