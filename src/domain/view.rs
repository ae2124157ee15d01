//! The numbers that a player sees at a point in time. Reading never changes the player.

use super::player::{Away, Player};
use super::production::{Bonuses, Production};
use super::slug::Slug;
use super::time::Timestamp;
use super::timeline::Timeline;

/// A player's numbers at one instant.
#[derive(Debug, PartialEq)]
pub struct View<'a> {
    pub energy: f64,
    pub lifetime_energy: f64,
    pub production: Production,
    /// The generators that are owned, in the catalogue's order.
    pub generators: Vec<OwnedGenerator<'a>>,
    pub accrues_until: Timestamp,
    pub away: Option<&'a Away>,
    /// The instant; never before the player's last settle.
    pub now: Timestamp,
}

/// One generator of which a player owns units.
#[derive(Debug, PartialEq)]
pub struct OwnedGenerator<'a> {
    pub id: &'a Slug,
    pub owned: u64,
    /// The cost of the next unit; `None` if it exceeds the finite range or the generator is no longer sold.
    pub next_cost: Option<f64>,
    /// The production of all owned units.
    pub energy_per_second: f64,
}

impl Player {
    /// The player's numbers at `now`.
    pub fn view(&self, timeline: &Timeline, now: Timestamp) -> View<'_> {
        let now = self.not_before_settled(now);
        let catalogue = timeline.at(now);
        let (energy, lifetime_energy) = self.energy_at(timeline, now);
        let bonuses = Bonuses::of(&self.inventory, self.cores, catalogue, &timeline.rules);
        let production = Production::with(&bonuses, &self.inventory, catalogue, &timeline.rules);
        let mut placed: Vec<_> = self
            .inventory
            .generators()
            .filter_map(|(id, owned)| Some((catalogue.generator_position(id)?, id, owned)))
            .collect();
        placed.sort_unstable_by_key(|&(position, ..)| position);
        let generators = placed.into_iter().map(|(position, id, owned)| {
            let sold = catalogue
                .generator_at(position)
                .filter(|it| it.available && catalogue.lists_generator(id));
            OwnedGenerator {
                id,
                owned,
                next_cost: sold.and_then(|generator| generator.costs().cost(owned, 1)),
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
    fn a_view_says_what_a_settle_would_write() {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("mill"), 2);
        player.inventory.add_generators(&slug("crank"), 3);
        let timeline = two_catalogues(700.0);
        let seen = player.view(&timeline, at(1000.0));
        let (energy, order) =
            (seen.energy, seen.generators.iter().map(|it| it.id.as_str()).collect::<Vec<_>>());
        assert_eq!(order, ["crank", "mill"]);
        assert_eq!(seen.production.energy_per_second, 3.0 * 1.5 + 2.0 * 4.0);
        player.settle(&timeline, at(1000.0));
        assert_eq!(player.energy, energy);
    }

    #[test]
    fn what_is_no_longer_sold_has_no_price() {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("relic"), 1);
        let view = player.view(&timeline(), at(0.0));
        assert_eq!((view.generators[0].owned, view.generators[0].next_cost), (1, None));
    }
}
