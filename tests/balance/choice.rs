//! Chooses what the simulated player buys next: the purchase that pays for itself soonest.

use idlewatt::domain::{
    Action, Catalogue, Effect, Inventory, Player, Production, Quantity, Requirement, Timeline,
    Timestamp, Upgrade,
};

/// A comfort upgrade is bought at once if it costs at most the production of this many seconds.
const CHEAP_COMFORT_SECONDS: f64 = 120.0;

/// A purchase and its cost.
pub struct Choice {
    pub action: Action,
    pub cost: f64,
    /// Seconds until it has paid for itself, including the wait until it is affordable.
    payback: f64,
}

/// The best purchase for a player who currently makes `clicks_per_second`.
pub fn best(
    player: &Player,
    timeline: &Timeline,
    now: Timestamp,
    clicks_per_second: u64,
) -> Option<Choice> {
    let clicks_per_second = clicks_per_second as f64;
    let production = player.production(timeline, now);
    let situation = Situation { player, timeline, now, clicks_per_second, production };
    let best = situation.generators().into_iter().min_by(|a, b| a.payback.total_cmp(&b.payback));
    situation.upgrades().fold(best, |best, upgrade| situation.better(best, upgrade))
}

/// A player at one point in time, with the values that the choice needs.
struct Situation<'a> {
    player: &'a Player,
    timeline: &'a Timeline,
    now: Timestamp,
    clicks_per_second: f64,
    production: Production,
}

impl<'a> Situation<'a> {
    fn catalogue(&self) -> &'a Catalogue {
        self.timeline.at(self.now)
    }

    /// One more of each generator as a choice. The effects are calculated from a player who has one more of every kind.
    fn generators(&self) -> Vec<Choice> {
        let items = self.catalogue().items();
        let mut richer = self.player.clone();
        for generator in &items.generators {
            richer.inventory.add_generators(&generator.id, 1);
        }
        let view = richer.view(self.timeline, self.now);
        // Income rises by more than production, because a click may also yield a share of the production.
        let more_income = self.income(&view.production) - self.income(&self.production);
        let more_production = view.production.energy_per_second - self.production.energy_per_second;
        let choices = items.generators.iter().zip(&view.generators).filter_map(|(it, owned)| {
            let cost = it.costs().cost(owned.owned - 1, 1)?;
            let each = owned.energy_per_second / owned.owned as f64;
            let payback = self.payback(cost, each * more_income / more_production);
            let quantity = Quantity::Exactly(1);
            let action = Action::BuyGenerator { id: it.id.clone(), quantity };
            Some(Choice { action, cost, payback })
        });
        choices.collect()
    }

    /// The available upgrades that the player does not have.
    fn upgrades(&self) -> impl Iterator<Item = &'a Upgrade> {
        let Player { inventory, lifetime_energy, .. } = self.player;
        let meets = move |requires: &Option<Requirement>| match requires {
            Some(Requirement::GeneratorOwned { generator, count }) => {
                inventory.owned(generator) >= *count
            }
            Some(Requirement::LifetimeEnergy { energy }) => lifetime_energy >= energy,
            None => true,
        };
        let upgrades = self.catalogue().items().upgrades.iter();
        upgrades.filter(move |it| meets(&it.requires) && !inventory.has_upgrade(&it.id))
    }

    /// The better one of the best purchase so far and `upgrade`.
    fn better(&self, best: Option<Choice>, upgrade: &Upgrade) -> Option<Choice> {
        let limit = best.as_ref().map_or(f64::INFINITY, |choice| choice.payback);
        // Waiting until the upgrade is affordable alone takes longer than the payback of the best purchase.
        if self.wait(upgrade.cost) >= limit {
            return best;
        }
        let cheap = self.production.energy_per_second * CHEAP_COMFORT_SECONDS;
        let is_cheap_comfort = is_comfort(upgrade) && upgrade.cost <= cheap;
        let payback =
            if is_cheap_comfort { 0.0 } else { self.payback(upgrade.cost, self.gain_of(upgrade)) };
        if payback >= limit {
            return best;
        }
        let action = Action::BuyUpgrade { id: upgrade.id.clone() };
        Some(Choice { action, cost: upgrade.cost, payback })
    }

    fn gain_of(&self, upgrade: &Upgrade) -> f64 {
        let mut inventory: Inventory = self.player.inventory.clone();
        inventory.add_upgrade(upgrade.id.clone());
        let (cores, rules) = (self.player.cores, &self.timeline.rules);
        let after = Production::of(&inventory, cores, self.catalogue(), rules);
        self.income(&after) - self.income(&self.production)
    }

    /// The payback time includes the wait until the purchase is affordable, so a small purchase now may be better than
    /// a profitable one in some hours.
    fn payback(&self, cost: f64, gain: f64) -> f64 {
        self.wait(cost) + cost / gain
    }

    fn wait(&self, cost: f64) -> f64 {
        (cost - self.player.energy).max(0.0) / self.income(&self.production)
    }

    fn income(&self, production: &Production) -> f64 {
        production.energy_per_second + self.clicks_per_second * production.energy_per_click
    }
}

/// Whether the upgrade improves clicks or absences, for which no payback time can be calculated.
fn is_comfort(upgrade: &Upgrade) -> bool {
    match upgrade.effect {
        Effect::ClickFlat { .. } | Effect::ClickShare { .. } | Effect::OfflineCap { .. } => true,
        Effect::GeneratorMultiplier { .. } | Effect::GlobalMultiplier { .. } => false,
    }
}
