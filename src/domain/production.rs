//! The energy that a player's items produce.

use super::catalogue::{Catalogue, Effect};
use super::inventory::Inventory;
use super::rules::Rules;

/// The production of one player under one catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Production {
    /// Energy per second of all generators together.
    pub energy_per_second: f64,
    /// Energy of one click.
    pub energy_per_click: f64,
    /// Seconds for which production continues while the player is absent.
    pub offline_cap_seconds: f64,
}

/// Clamps to the range of amounts, from 0 to the largest finite double. NaN becomes 0, so that an invalid calculation
/// never gives energy.
pub fn finite(amount: f64) -> f64 {
    if amount.is_nan() { 0.0 } else { amount.clamp(0.0, f64::MAX) }
}

/// The sum of two amounts, clamped by [`finite`]. Both are clamped first, so NaN counts as 0.
pub(super) fn sum(balance: f64, amount: f64) -> f64 {
    finite(finite(balance) + finite(amount))
}

impl Production {
    /// The production of an inventory, in energy per second. For each generator, `p` is the production of one unit:
    ///
    /// `rate = sum(owned * p * multipliers of the generator) * global multipliers * (1 + bonus per core * cores)`.
    ///
    /// Example: three cranks that produce 0.5 per second, doubled by an upgrade, with ten cores and a bonus of 0.02 per
    /// core produce `3 * 0.5 * 2 * 1.2 = 3.6` per second.
    pub fn of(inventory: &Inventory, cores: f64, catalogue: &Catalogue, rules: &Rules) -> Self {
        let bonuses = Bonuses::of(inventory, cores, catalogue, rules);
        Self::with(&bonuses, inventory, catalogue, rules)
    }

    /// As [`Production::of`], with bonuses that were calculated before.
    pub(super) fn with(
        bonuses: &Bonuses,
        inventory: &Inventory,
        catalogue: &Catalogue,
        rules: &Rules,
    ) -> Self {
        let rate = inventory.generators().fold(0.0, |rate, (id, owned)| {
            let made = catalogue
                .generator_position(id)
                .map_or(0.0, |position| bonuses.generator_rate(catalogue, position, owned));
            sum(rate, made)
        });
        Self {
            energy_per_second: rate,
            energy_per_click: sum(
                sum(rules.base_energy_per_click, bonuses.click_flat),
                bonuses.click_share * rate,
            ),
            offline_cap_seconds: sum(rules.offline_cap_seconds, bonuses.offline_seconds),
        }
    }
}

/// The combined effects of a player's upgrades and cores.
pub(super) struct Bonuses {
    /// The factor of each generator, by its position in the catalogue.
    generators: Vec<f64>,
    /// The factor of all generators.
    global: f64,
    /// Energy that is added to each click.
    click_flat: f64,
    /// The share of one second's production that is added to each click.
    click_share: f64,
    /// Seconds that are added to the offline cap.
    offline_seconds: f64,
}

impl Bonuses {
    pub(super) fn of(
        inventory: &Inventory,
        cores: f64,
        catalogue: &Catalogue,
        rules: &Rules,
    ) -> Self {
        let mut bonuses = Self {
            generators: vec![1.0; catalogue.generator_count()],
            global: sum(1.0, rules.bonus_per_core * cores),
            click_flat: 0.0,
            click_share: 0.0,
            offline_seconds: 0.0,
        };
        for upgrade in inventory.upgrades().filter_map(|id| catalogue.upgrade(id)) {
            match &upgrade.effect {
                Effect::GeneratorMultiplier { generator, multiplier } => {
                    let position = catalogue.generator_position(generator);
                    if let Some(factor) = position.and_then(|it| bonuses.generators.get_mut(it)) {
                        *factor = finite(*factor * multiplier);
                    }
                }
                Effect::GlobalMultiplier { multiplier } => {
                    bonuses.global = finite(bonuses.global * multiplier);
                }
                Effect::ClickFlat { energy } => {
                    bonuses.click_flat = sum(bonuses.click_flat, *energy);
                }
                Effect::ClickShare { share } => {
                    bonuses.click_share = sum(bonuses.click_share, *share);
                }
                Effect::OfflineCap { seconds } => {
                    bonuses.offline_seconds = sum(bonuses.offline_seconds, *seconds);
                }
            }
        }
        bonuses
    }

    /// Energy per second of `owned` units of one generator.
    pub(super) fn generator_rate(&self, catalogue: &Catalogue, position: usize, owned: u64) -> f64 {
        let base = catalogue.generator_at(position).map_or(0.0, |it| it.base_energy_per_second);
        let factor = self.generators.get(position).copied().unwrap_or(1.0);
        finite(finite(finite(base * owned as f64) * factor) * self.global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{catalogue, slug};

    #[test]
    fn the_documented_example_is_correct() {
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("crank"), 3);
        inventory.add_upgrade(slug("better_crank"));
        let production = Production::of(&inventory, 10.0, &catalogue(), &Rules::default());
        assert!((production.energy_per_second - 3.6).abs() < 1e-12);
    }

    #[test]
    fn clicks_gain_a_flat_amount_and_a_share_of_the_rate() {
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("crank"), 200);
        inventory.add_upgrade(slug("gloves"));
        inventory.add_upgrade(slug("dynamo"));
        let production = Production::of(&inventory, 0.0, &catalogue(), &Rules::default());
        assert_eq!(production.energy_per_click, 1.0 + 4.0 + 0.05 * 100.0);
    }

    #[test]
    fn an_upgrade_extends_the_offline_cap() {
        let mut inventory = Inventory::default();
        inventory.add_upgrade(slug("battery"));
        let production = Production::of(&inventory, 0.0, &catalogue(), &Rules::default());
        assert_eq!(production.offline_cap_seconds, 8.0 * 3600.0 + 3600.0);
    }

    #[test]
    fn rates_do_not_exceed_the_largest_finite_double() {
        let mut inventory = Inventory::default();
        inventory.add_generators(&slug("star"), u64::MAX);
        inventory.add_upgrade(slug("dynamo"));
        let production = Production::of(&inventory, 1e150, &catalogue(), &Rules::default());
        assert_eq!(production.energy_per_second, f64::MAX);
        assert!(production.energy_per_click.is_finite());
    }
}
