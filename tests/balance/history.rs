//! What happened to a simulated player, and statistics of it.

use std::collections::HashSet;

use idlewatt::domain::LedgerKind;

use super::habits;

/// The player's numbers at one time.
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
    /// What was bought.
    pub reference: String,
    /// The player's cores afterwards.
    pub cores: f64,
    /// The time, and the numbers that the player saw when it decided.
    pub before: Sample,
}

/// Everything in order of time.
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

    /// The first time that it had so much lifetime energy.
    pub fn reached(&self, lifetime_energy: f64) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.lifetime_energy >= lifetime_energy)
    }

    /// The longest time awake without a purchase before `end`, in seconds.
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
