//! The straight line that a player's energy follows between two changes.

use super::player::Player;
use super::production::{Production, finite};
use super::time::Timestamp;
use super::timeline::Timeline;

/// A player's energy from one instant on, up to the next change of the catalogue, as long as nobody writes the player.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The first instant that it holds for.
    from: Timestamp,
    /// The first that it does not hold for any more; nothing where the catalogue is the last one known.
    until: Option<Timestamp>,
    energy: f64,
    lifetime_energy: f64,
    energy_per_second: f64,
    accrues_until: Timestamp,
}

impl Player {
    /// The line on which the player's energy is at `now`.
    pub fn course(&self, timeline: &Timeline, now: Timestamp) -> Course {
        let now = self.not_before_settled(now);
        let (begun, until) = timeline.span(now);
        let from = begun.max(self.settled_at);
        let accrued = self.accrued(timeline, from);
        let catalogue = timeline.at(now);
        let production = Production::of(&self.inventory, self.cores, catalogue, &timeline.rules);
        Course {
            from,
            until,
            energy: finite(self.energy + accrued),
            lifetime_energy: finite(self.lifetime_energy + accrued),
            energy_per_second: production.energy_per_second,
            accrues_until: self.accrues_until(&production),
        }
    }
}

impl Course {
    /// Whether it says what is so at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// Energy and lifetime energy at `now`, where it [holds](Self::holds).
    pub fn energy(&self, now: Timestamp) -> (f64, f64) {
        let seconds = now.min(self.accrues_until).seconds_since(self.from).max(0.0);
        let accrued = finite(self.energy_per_second * seconds);
        (finite(self.energy + accrued), finite(self.lifetime_energy + accrued))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Rules;
    use crate::domain::testing::{at, slug, two_catalogues};

    proptest! {
        #[test]
        fn a_course_says_what_a_view_says(
            change in 0.0..2e5f64,
            settled in 0.0..1e5f64,
            made in 0.0..1e5f64,
            later in 0.0..1e5f64,
            cranks in 0u64..1000,
        ) {
            let timeline = two_catalogues(change);
            let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
            player.inventory.add_generators(&slug("crank"), cranks);
            player.settle(&timeline, at(settled));
            let course = player.course(&timeline, at(made));
            let now = player.not_before_settled(at(made)).plus_seconds(later);
            prop_assert!(course.holds(player.not_before_settled(at(made))));
            prop_assert_eq!(course.holds(now), timeline.at(now).version == timeline.at(player.not_before_settled(at(made))).version);
            if course.holds(now) {
                let view = player.view(&timeline, now);
                let (energy, lifetime_energy) = course.energy(now);
                for (told, expected) in [(energy, view.energy), (lifetime_energy, view.lifetime_energy)] {
                    prop_assert!((told - expected).abs() <= 1e-12 * expected.max(1.0), "{} is not {}", told, expected);
                }
            }
        }
    }
}
