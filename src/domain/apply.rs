//! Applies a command to a player. A command that is refused changes nothing except that the player is settled.

use super::catalogue::{Catalogue, Requirement};
use super::command::{
    Action, ActionResult, Command, LedgerEntry, LedgerKind, Outcome, Quantity, Refusal,
};
use super::inventory::Inventory;
use super::player::Player;
use super::production::{finite, sum};
use super::rules::Rules;
use super::slug::Slug;
use super::time::Timestamp;
use super::timeline::Timeline;

impl Player {
    /// Applies `command` at `now` and appends ledger entries to `ledger`.
    ///
    /// The player is always settled first, and every command except a grant counts as presence. A refused command
    /// changes nothing else. Each applied mutation increases the version by one.
    ///
    /// # Errors
    /// Returns why the rules refuse the command.
    pub fn apply(
        &mut self,
        command: &Command,
        timeline: &Timeline,
        now: Timestamp,
        ledger: &mut Vec<LedgerEntry>,
    ) -> Result<Outcome, Refusal> {
        if let Command::Grant { energy, reason } = command {
            self.settle(timeline, now);
            return Ok(self.receive(*energy, reason, ledger));
        }
        let version = self.version;
        let ended_absence = self.arrive(timeline, now);
        let outcome = match command {
            Command::Act(action) => self.act(action, timeline, now, ledger),
            Command::ActInOrder(actions) => {
                let results =
                    actions.iter().map(|action| match self.act(action, timeline, now, ledger) {
                        Ok(outcome) => ActionResult::Applied(outcome),
                        Err(refusal) => ActionResult::Refused(refusal),
                    });
                Ok(Outcome::Acted { results: results.collect() })
            }
            Command::Prestige => self.prestige(&timeline.rules, ledger),
            Command::Rename(name) => {
                self.display_name = name.as_str().into();
                self.version += 1;
                Ok(Outcome::Done {})
            }
            Command::ChooseLanguage { language, display_name } => {
                self.language = Some(*language);
                if let Some(name) = display_name {
                    self.display_name = name.as_str().into();
                }
                self.version += 1;
                Ok(Outcome::Done {})
            }
            Command::Arrive | Command::Grant { .. } => Ok(Outcome::Done {}),
        };
        // A mutation ends the reporting of an absence, unless the mutation itself ended the absence.
        if self.version > version && !ended_absence {
            self.away = None;
        }
        outcome
    }

    /// Applies one action. The player must have been settled at `now`.
    fn act(
        &mut self,
        action: &Action,
        timeline: &Timeline,
        now: Timestamp,
        ledger: &mut Vec<LedgerEntry>,
    ) -> Result<Outcome, Refusal> {
        let catalogue = timeline.at(self.settled_at);
        match action {
            Action::Click { clicks } => Ok(self.click(*clicks, timeline, now)),
            Action::BuyGenerator { id, quantity } => {
                self.buy_generators(id, *quantity, catalogue, ledger)
            }
            Action::BuyUpgrade { id } => self.buy_upgrade(id, catalogue, ledger),
        }
    }

    fn click(&mut self, clicks: u64, timeline: &Timeline, now: Timestamp) -> Outcome {
        let accepted = self.clicks.take(clicks, &timeline.rules, now);
        let per_click = self.production(timeline, self.settled_at).energy_per_click;
        self.earn(per_click * accepted as f64);
        self.version += 1;
        Outcome::Clicked { accepted }
    }

    fn buy_generators(
        &mut self,
        id: &Slug,
        quantity: Quantity,
        catalogue: &Catalogue,
        ledger: &mut Vec<LedgerEntry>,
    ) -> Result<Outcome, Refusal> {
        let listed = catalogue.generator(id).filter(|_| catalogue.lists_generator(id));
        let generator = listed.ok_or(Refusal::UnknownGenerator)?;
        if !generator.available {
            return Err(Refusal::Retired);
        }
        let owned = self.inventory.owned(id);
        let costs = generator.costs();
        let purchased = match quantity {
            Quantity::Exactly(quantity) => quantity,
            Quantity::Max => costs.affordable(owned, self.energy).max(1),
        };
        let spent = self.affordable(costs.cost(owned, purchased))?;
        self.inventory.add_generators(&generator.id, purchased);
        self.spend(spent, LedgerKind::GeneratorPurchase, id.to_string(), ledger);
        Ok(Outcome::BoughtGenerators { purchased, spent })
    }

    fn buy_upgrade(
        &mut self,
        id: &Slug,
        catalogue: &Catalogue,
        ledger: &mut Vec<LedgerEntry>,
    ) -> Result<Outcome, Refusal> {
        let listed = catalogue.upgrade(id).filter(|_| catalogue.lists_upgrade(id));
        let upgrade = listed.ok_or(Refusal::UnknownUpgrade)?;
        if self.inventory.has_upgrade(id) {
            return Err(Refusal::AlreadyOwned);
        }
        if !upgrade.available {
            return Err(Refusal::Retired);
        }
        match &upgrade.requires {
            Some(Requirement::GeneratorOwned { generator, count })
                if self.inventory.owned(generator) < *count =>
            {
                let generator = generator.clone();
                return Err(Refusal::NeedsGenerators { generator, count: *count });
            }
            Some(Requirement::LifetimeEnergy { energy }) if self.lifetime_energy < *energy => {
                return Err(Refusal::NeedsLifetimeEnergy { energy: *energy });
            }
            _ => {}
        }
        let spent = self.affordable(Some(upgrade.cost))?;
        self.inventory.add_upgrade(upgrade.id.clone());
        self.spend(spent, LedgerKind::UpgradePurchase, id.to_string(), ledger);
        Ok(Outcome::BoughtUpgrade { spent })
    }

    /// Resets the player and sets its cores to `floor(sqrt(lifetime_energy / energy_per_core))`. With 1e9 energy per
    /// core, a lifetime energy of 4e9 gives 2 cores.
    fn prestige(
        &mut self,
        rules: &Rules,
        ledger: &mut Vec<LedgerEntry>,
    ) -> Result<Outcome, Refusal> {
        let cores = (self.lifetime_energy / rules.energy_per_core).sqrt().floor();
        let before = finite(self.cores);
        // Not written as `cores <= before`, which would be false for NaN.
        let gains = cores > before;
        if !gains {
            let next = before + 1.0;
            let lifetime_energy = finite(next * next * rules.energy_per_core);
            return Err(Refusal::NothingToGain { lifetime_energy });
        }
        let gained_cores = cores - before;
        self.cores = cores;
        self.inventory = Inventory::default();
        self.spend(self.energy, LedgerKind::Prestige, format!("{cores:.0} cores"), ledger);
        Ok(Outcome::Prestiged { gained_cores })
    }

    /// Applies a grant. It increases the balance but not the lifetime energy, because the player did not produce it.
    fn receive(&mut self, energy: f64, reason: &str, ledger: &mut Vec<LedgerEntry>) -> Outcome {
        let before = self.energy;
        self.energy = sum(self.energy, energy);
        self.book(before, LedgerKind::Grant, reason.to_owned(), ledger);
        Outcome::Done {}
    }

    /// Returns the cost if the balance covers it. `None` is a cost outside the range of finite doubles.
    fn affordable(&self, cost: Option<f64>) -> Result<f64, Refusal> {
        let required = finite(cost.unwrap_or(f64::MAX));
        match cost {
            Some(cost) if (0.0..=self.energy).contains(&cost) => Ok(cost),
            _ => Err(Refusal::InsufficientEnergy { required, available: self.energy }),
        }
    }

    fn spend(
        &mut self,
        amount: f64,
        kind: LedgerKind,
        reference: String,
        ledger: &mut Vec<LedgerEntry>,
    ) {
        let before = self.energy;
        self.energy -= amount;
        self.book(before, kind, reference, ledger);
    }

    /// Increases the version, and appends the ledger entry for a change of the balance from `before` to its current
    /// value.
    fn book(
        &mut self,
        before: f64,
        kind: LedgerKind,
        reference: String,
        ledger: &mut Vec<LedgerEntry>,
    ) {
        self.version += 1;
        ledger.push(LedgerEntry {
            version: self.version,
            at: self.settled_at,
            kind,
            reference,
            earned: before - finite(self.ledger_balance),
            delta: self.energy - before,
            balance_after: self.energy,
        });
        self.ledger_balance = self.energy;
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
