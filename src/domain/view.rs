//! The values of a player that the API returns for a point in time. Calculating them does not change the player.

use super::player::{Away, Player};
use super::production::{Bonuses, Production};
use super::slug::Slug;
use super::time::Timestamp;
use super::timeline::Timeline;

/// The values of a player at one point in time.
#[derive(Debug, PartialEq)]
pub struct View<'a> {
    pub energy: f64,
    pub lifetime_energy: f64,
    pub production: Production,
    /// The generators that the player owns, in the catalogue's order.
    pub generators: Vec<OwnedGenerator<'a>>,
    pub accrues_until: Timestamp,
    pub away: Option<&'a Away>,
    /// The point in time. It is never before the player's last settle.
    pub now: Timestamp,
}

/// A generator of which the player owns at least one unit.
#[derive(Debug, PartialEq)]
pub struct OwnedGenerator<'a> {
    pub id: &'a Slug,
    pub owned: u64,
    /// The cost of the next unit; `None` if it exceeds the range of finite doubles or the generator is no longer sold.
    pub next_cost: Option<f64>,
    /// The production of all owned units together.
    pub energy_per_second: f64,
}

impl Player {
    /// The player's values at `now`.
    pub fn view(&self, timeline: &Timeline, now: Timestamp) -> View<'_> {
        let now = self.not_before_settled(now);
        let catalogue = timeline.at(now);
        let (energy, lifetime_energy) = self.energy_at(timeline, now);
        let bonuses = Bonuses::of(&self.inventory, self.cores, catalogue, &timeline.rules);
        let production = Production::with(&bonuses, &self.inventory, catalogue, &timeline.rules);
        let mut positioned: Vec<_> = self
            .inventory
            .generators()
            .filter_map(|(id, owned)| Some((catalogue.generator_position(id)?, id, owned)))
            .collect();
        positioned.sort_unstable_by_key(|&(position, ..)| position);
        let generators = positioned.into_iter().map(|(position, id, owned)| {
            let for_sale = catalogue
                .generator_at(position)
                .filter(|it| it.available && catalogue.lists_generator(id));
            OwnedGenerator {
                id,
                owned,
                next_cost: for_sale.and_then(|generator| generator.costs().cost(owned, 1)),
                energy_per_second: bonuses.generator_rate(catalogue, position, owned),
            }
        });
        View {
            energy,
            lifetime_energy,
            generators: generators.collect(),
            accrues_until: self.accrues_until(&production),
            away: self.reported_absence(now),
            production,
            now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rules;
    use crate::domain::testing::{at, slug, timeline, two_catalogues};

    #[test]
    fn a_view_has_the_energy_that_a_settle_stores() {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("mill"), 2);
        player.inventory.add_generators(&slug("crank"), 3);
        let timeline = two_catalogues(700.0);
        let view = player.view(&timeline, at(1000.0));
        let (energy, order) =
            (view.energy, view.generators.iter().map(|it| it.id.as_str()).collect::<Vec<_>>());
        assert_eq!(order, ["crank", "mill"]);
        assert_eq!(view.production.energy_per_second, 3.0 * 1.5 + 2.0 * 4.0);
        player.settle(&timeline, at(1000.0));
        assert_eq!(player.energy, energy);
    }

    #[test]
    fn a_generator_that_is_no_longer_sold_has_no_cost() {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("relic"), 1);
        let view = player.view(&timeline(), at(0.0));
        assert_eq!((view.generators[0].owned, view.generators[0].next_cost), (1, None));
    }
}
