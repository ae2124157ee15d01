//! Makes the tables of `docs/balance.md` and the timeline that the test prints.

use std::collections::HashMap;
use std::fmt::Write;

use idlewatt::domain::{CatalogueItems, LedgerKind, Rules};

use super::history::{Event, History};
use super::text::{amount, duration, effect};

/// The names of the items, by slug.
pub struct Names(HashMap<String, String>);

impl Names {
    pub fn of(items: &CatalogueItems) -> Self {
        let generators = items.generators.iter().map(|it| (it.id.to_string(), it.name.clone()));
        let upgrades = items.upgrades.iter().map(|it| (it.id.to_string(), it.name.clone()));
        Self(generators.chain(upgrades).collect())
    }

    pub fn get(&self, slug: &str) -> String {
        self.0.get(slug).cloned().unwrap_or_else(|| slug.into())
    }
}

/// First generators, first upgrades and prestiges, in order of time.
pub fn timeline(history: &History, names: &Names) -> String {
    let mut events = history.first_generators();
    events.extend(history.first_upgrades());
    events.extend(history.prestiges());
    events.sort_by(|a, b| a.before.time.total_cmp(&b.before.time));
    let mut text = String::new();
    for event in events {
        let what = match event.kind {
            LedgerKind::GeneratorPurchase => format!("GENERATOR {}", names.get(&event.reference)),
            LedgerKind::Prestige => format!("PRESTIGE  {} cores", event.cores),
            _ => format!("upgrade   {}", names.get(&event.reference)),
        };
        let _ = writeln!(text, "{:>16}  {what}", duration(event.before.time));
    }
    text
}

/// First generators and prestiges, with the energy just before each.
pub fn milestones(history: &History, names: &Names, rules: &Rules) -> String {
    let mut text = String::from(
        "| after | first of a generator, or prestige | lifetime energy | energy per second |\n\
         |---|---|---:|---:|\n",
    );
    let mut rows: Vec<(&Event, String)> = Vec::new();
    for event in history.first_generators() {
        rows.push((event, names.get(&event.reference)));
    }
    for event in history.prestiges() {
        let bonus = 1.0 + rules.bonus_per_core * event.cores;
        let cores = amount(event.cores);
        rows.push((event, format!("**prestige**: {cores} cores, production ×{bonus:.1}")));
    }
    rows.sort_by(|a, b| a.0.before.time.total_cmp(&b.0.before.time));
    for (Event { before, .. }, what) in rows {
        let (lifetime, rate) = (amount(before.lifetime_energy), amount(before.energy_per_second));
        let _ = writeln!(text, "| {} | {what} | {lifetime} | {rate} |", duration(before.time));
    }
    text
}

/// Each upgrade with its cost and the time of its purchase.
pub fn upgrades(history: &History, names: &Names, items: &CatalogueItems) -> String {
    let mut text = String::from("| after | upgrade | effect | cost |\n|---|---|---|---:|\n");
    for event in history.first_upgrades() {
        let bought = items.upgrades.iter().find(|it| it.id.as_str() == event.reference);
        let Some(upgrade) = bought else { continue };
        let after = duration(event.before.time);
        let what = effect(upgrade, |slug| names.get(slug));
        let _ =
            writeln!(text, "| {after} | {} | {what} | {} |", upgrade.name, amount(upgrade.cost));
    }
    text
}

/// One row for each player. The players differ only in when they prestige.
pub fn players(players: &[(&str, &History)]) -> String {
    let mut text = String::from(
        "| player | first prestige | last generator | upgrades bought | cores | lifetime energy |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for (name, history) in players {
        let when = |event: Option<&&Event>| {
            event.map_or_else(|| "never".into(), |event| duration(event.before.time))
        };
        let prestiges = history.prestiges();
        let lifetime = history.samples.last().map_or(0.0, |sample| sample.lifetime_energy);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            when(prestiges.first()),
            when(history.first_generators().last()),
            history.first_upgrades().len(),
            prestiges.last().map_or_else(|| "0".into(), |event| amount(event.cores)),
            amount(lifetime),
        );
    }
    text
}
