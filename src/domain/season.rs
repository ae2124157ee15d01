//! Seasons: weeks that start on Monday at 00:00 UTC. A player's score is the lifetime energy that it gains in a season.

use super::player::Player;
use super::production::sum;
use super::time::Timestamp;
use super::timeline::Timeline;

/// A week that starts on Monday at 00:00 UTC, identified by a number. Season 0 started on 1970-01-05.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Season(i64);

const DAY_MICROS: i64 = 86_400 * 1_000_000;
const WEEK_MICROS: i64 = 7 * DAY_MICROS;
/// 1970-01-05, the first Monday after the Unix epoch.
const FIRST_MONDAY_MICROS: i64 = 4 * DAY_MICROS;

impl Season {
    /// The season with this number.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The number of the season. Numbers are consecutive.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The season that contains `now`. A season contains its start but not its end.
    pub const fn at(now: Timestamp) -> Self {
        Self(now.as_micros().saturating_sub(FIRST_MONDAY_MICROS).div_euclid(WEEK_MICROS))
    }

    /// The start of the season.
    pub const fn starts_at(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(WEEK_MICROS) + FIRST_MONDAY_MICROS)
    }

    /// The end of the season, which is the start of the next one.
    pub const fn ends_at(self) -> Timestamp {
        self.next().starts_at()
    }

    /// The next season.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Player {
    /// The lifetime energy at `at` if the player does nothing until then: only production is added.
    pub fn lifetime_energy_at(&self, timeline: &Timeline, at: Timestamp) -> f64 {
        sum(self.lifetime_energy, self.accrued(timeline, at))
    }

    /// Moves the player to the season of `now`. Must be called before production up to `now` is credited.
    pub(super) fn enter_season(&mut self, timeline: &Timeline, now: Timestamp) {
        let season = Season::at(now);
        if season > self.season {
            self.season_base = self.lifetime_energy_at(timeline, season.starts_at());
            self.season = season;
        }
    }

    /// The lifetime energy gained from the start of the season of `now` to `now`.
    pub fn season_score(&self, timeline: &Timeline, now: Timestamp) -> f64 {
        let now = self.not_before_settled(now);
        self.gained(timeline, Season::at(now).max(self.season), now)
    }

    /// The final scores of the seasons from the player's season to the one before `entered`, oldest first. A write that
    /// moves the player to the season `entered` must also store these scores.
    pub fn finished_seasons<'a>(
        &'a self,
        timeline: &'a Timeline,
        entered: Season,
    ) -> impl Iterator<Item = (Season, f64)> + 'a {
        (self.season.0..entered.0).map(|number| {
            let season = Season(number);
            (season, self.gained(timeline, season, season.ends_at()))
        })
    }

    /// The lifetime energy gained from the start of `season` to `until`. `season` must not be before the player's
    /// season.
    fn gained(&self, timeline: &Timeline, season: Season, until: Timestamp) -> f64 {
        let before = if season == self.season {
            // If the base is NaN or negative, energy from before the season would count. With this base the score is 0.
            Some(self.season_base).filter(|base| *base >= 0.0).unwrap_or(f64::MAX)
        } else {
            self.lifetime_energy_at(timeline, season.starts_at())
        };
        (self.lifetime_energy_at(timeline, until) - before).max(0.0)
    }
}

#[cfg(test)]
#[path = "season_tests.rs"]
mod tests;
