//! The state of a player, and the formula by which its energy increases.
//!
//! `energy(t) = energy + rate * clamp(min(t, accrues_until) - settled_at, 0, inf)`, with
//! `accrues_until = last_seen_at + offline_cap`. Reading evaluates the formula and never changes a player. *Settling*
//! stores the result of the formula in the player.

use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::inventory::Inventory;
use super::notification::Language;
use super::production::{Production, sum};
use super::rules::{
    AWAY_AFTER_SECONDS, AWAY_SHOWN_SECONDS, CLOCK_STEP_SECONDS, PRESENCE_SECONDS, Rules,
};
use super::season::Season;
use super::time::Timestamp;
use super::timeline::Timeline;

/// The part of a player's state that the rules use. All amounts are finite and not negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Player {
    pub display_name: Arc<str>,
    /// The number of changes that were applied: clicks, purchases, prestiges, renames and grants.
    pub version: u64,
    /// The balance at `settled_at`.
    #[serde(deserialize_with = "amount")]
    pub energy: f64,
    /// The sum of all energy from production and clicks, at `settled_at`.
    #[serde(deserialize_with = "amount")]
    pub lifetime_energy: f64,
    /// The number of prestige cores, which is a whole number. Its type is a double because it is proportional to the
    /// square root of energy and so exceeds the range of integers.
    #[serde(deserialize_with = "amount")]
    pub cores: f64,
    pub inventory: Inventory,
    /// The time up to which production is credited.
    pub settled_at: Timestamp,
    /// When the player last made a request that counts as presence.
    pub last_seen_at: Timestamp,
    /// Energy that was credited since `last_seen_at` while the player was absent.
    #[serde(deserialize_with = "amount")]
    pub unseen_energy: f64,
    /// The last absence that was long enough to be reported to the player.
    pub away: Option<Away>,
    pub clicks: ClickBucket,
    /// The balance after the last ledger entry.
    #[serde(deserialize_with = "amount")]
    pub ledger_balance: f64,
    /// The season in which `settled_at` lies.
    pub season: Season,
    /// The lifetime energy at the start of that season.
    #[serde(deserialize_with = "amount")]
    pub season_base: f64,
    /// The language of texts for the player; `None` until the player chooses one.
    pub language: Option<Language>,
}

/// An absence of the player.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Away {
    /// The length of the absence.
    #[serde(deserialize_with = "amount")]
    pub seconds: f64,
    /// The seconds of the absence in which production continued.
    #[serde(deserialize_with = "amount")]
    pub credited_seconds: f64,
    /// The energy that was produced during the absence.
    #[serde(deserialize_with = "amount")]
    pub energy: f64,
    pub ended_at: Timestamp,
}

/// The token bucket that limits how many clicks are credited.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClickBucket {
    /// The clicks that would be credited at `filled_at`.
    #[serde(deserialize_with = "amount")]
    pub tokens: f64,
    pub filled_at: Timestamp,
}

/// Deserializes an amount. NaN, infinity and negative numbers are errors, so that the whole record is rejected. If they
/// were replaced by 0, the next commit would overwrite the correct balance in the database.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let amount = f64::deserialize(deserializer)?;
    let refused = || D::Error::custom("an amount must be finite and not negative");
    (0.0..=f64::MAX).contains(&amount).then_some(amount).ok_or_else(refused)
}

impl ClickBucket {
    /// Takes up to `clicks` tokens and returns how many it took. If the clock was set back, the bucket continues from
    /// `now`: it gains no tokens, and it does not stop refilling until the clock reaches `filled_at` again.
    pub(super) fn take(&mut self, clicks: u64, rules: &Rules, now: Timestamp) -> u64 {
        if self.filled_at.seconds_since(now) > CLOCK_STEP_SECONDS {
            self.filled_at = now;
        }
        let refill = now.seconds_since(self.filled_at).max(0.0) * rules.clicks_per_second;
        self.tokens = sum(self.tokens, refill).min(rules.click_burst);
        self.filled_at = self.filled_at.max(now);
        let taken = clicks.min(self.tokens as u64);
        self.tokens -= taken as f64;
        taken
    }
}

impl Player {
    /// A new player, who owns nothing, created at `now`.
    pub fn new(display_name: Arc<str>, rules: &Rules, now: Timestamp) -> Self {
        Self {
            display_name,
            version: 0,
            energy: 0.0,
            lifetime_energy: 0.0,
            cores: 0.0,
            inventory: Inventory::default(),
            settled_at: now,
            last_seen_at: now,
            unseen_energy: 0.0,
            away: None,
            clicks: ClickBucket { tokens: rules.click_burst, filled_at: now },
            ledger_balance: 0.0,
            season: Season::at(now),
            season_base: 0.0,
            language: None,
        }
    }

    /// The latest of `now`, `settled_at` and `last_seen_at`. A player's time never runs backwards, even if the clock is
    /// set back or the clocks of instances differ.
    pub fn not_before_settled(&self, now: Timestamp) -> Timestamp {
        now.max(self.settled_at).max(self.last_seen_at)
    }

    /// The production under the catalogue that is in force at `now`.
    pub fn production(&self, timeline: &Timeline, now: Timestamp) -> Production {
        self.inventory.production(self.cores, timeline.at(now), &timeline.rules)
    }

    /// The time at which production stops if the player makes no further request.
    pub fn accrues_until(&self, production: &Production) -> Timestamp {
        self.last_seen_at.plus_seconds(production.offline_cap_seconds)
    }

    /// Splits the time from `from` to `now` at changes of the catalogue. Returns for each part its production, and the
    /// number of seconds for which production continues in it.
    fn spans<'a>(
        &'a self,
        timeline: &'a Timeline,
        from: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = (Production, f64)> + 'a {
        timeline.segments(from, now).map(|(catalogue, start, end)| {
            let production = self.inventory.production(self.cores, catalogue, &timeline.rules);
            let seconds = end.min(self.accrues_until(&production)).seconds_since(start).max(0.0);
            (production, seconds)
        })
    }

    /// The energy that is produced from the last settle to `now`.
    pub fn accrued(&self, timeline: &Timeline, now: Timestamp) -> f64 {
        let spans = self.spans(timeline, self.settled_at, now);
        spans.fold(0.0, |made, (production, seconds)| {
            sum(made, production.energy_per_second * seconds)
        })
    }

    /// Energy and lifetime energy at `now`.
    pub fn energy_at(&self, timeline: &Timeline, now: Timestamp) -> (f64, f64) {
        let accrued = self.accrued(timeline, now);
        (sum(self.energy, accrued), sum(self.lifetime_energy, accrued))
    }

    /// As [`Player::energy_at`], for a player whose production is known and has been the same since the last settle.
    pub fn energy_with(&self, production: &Production, now: Timestamp) -> (f64, f64) {
        let end = now.min(self.accrues_until(production));
        let seconds = end.seconds_since(self.settled_at).max(0.0);
        let accrued = production.energy_per_second * seconds;
        (sum(self.energy, accrued), sum(self.lifetime_energy, accrued))
    }

    /// Credits production up to `now`. Does not count as presence.
    pub fn settle(&mut self, timeline: &Timeline, now: Timestamp) {
        let now = self.not_before_settled(now);
        self.enter_season(timeline, now);
        self.inventory.cache_production(self.cores, timeline.at(now), &timeline.rules);
        let accrued = self.accrued(timeline, now);
        self.earn(accrued);
        self.unseen_energy = sum(self.unseen_energy, accrued);
        self.settled_at = now;
    }

    /// Settles the player and stores that the player is present. Returns whether this ended an absence that is reported
    /// to the player.
    ///
    /// Storing presence without settling would move `accrues_until` and so credit production beyond the offline cap.
    pub fn arrive(&mut self, timeline: &Timeline, now: Timestamp) -> bool {
        let now = self.not_before_settled(now);
        self.settle(timeline, now);
        let seconds = now.seconds_since(self.last_seen_at);
        let absent = seconds > AWAY_AFTER_SECONDS;
        if absent {
            let spans = self.spans(timeline, self.last_seen_at, now);
            let credited_seconds = spans.map(|(_, seconds)| seconds).sum();
            let energy = self.unseen_energy;
            self.away = Some(Away { seconds, credited_seconds, energy, ended_at: now });
        }
        self.last_seen_at = now;
        self.unseen_energy = 0.0;
        absent
    }

    /// Whether the stored presence is so old that a request at `now` must store it again.
    pub fn presence_is_due(&self, now: Timestamp) -> bool {
        now.seconds_since(self.last_seen_at) >= PRESENCE_SECONDS
    }

    /// The absence that is reported to the player at `now`.
    pub fn reported_absence(&self, now: Timestamp) -> Option<&Away> {
        let shown = |away: &&Away| now.seconds_since(away.ended_at) < AWAY_SHOWN_SECONDS;
        self.away.as_ref().filter(shown)
    }

    /// Adds energy from production or clicks.
    pub(super) fn earn(&mut self, amount: f64) {
        self.energy = sum(self.energy, amount);
        self.lifetime_energy = sum(self.lifetime_energy, amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::testing::{at, slug, timeline, two_catalogues};

    const HOUR: f64 = 3600.0;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
    }

    fn with_cranks(count: u64) -> Player {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(0.0));
        player.inventory.add_generators(&slug("crank"), count);
        player
    }

    #[test]
    fn production_stops_at_the_offline_cap() {
        let mut player = with_cranks(2);
        player.settle(&timeline(), at(100.0 * HOUR));
        assert_eq!(player.energy, 8.0 * HOUR);
        assert_eq!(player.lifetime_energy, 8.0 * HOUR);
        player.settle(&timeline(), at(200.0 * HOUR));
        assert_eq!(player.energy, 8.0 * HOUR);
    }

    #[test]
    fn an_absence_beyond_the_cap_is_never_credited() {
        let mut player = with_cranks(2);
        assert!(player.arrive(&timeline(), at(100.0 * HOUR)));
        assert_eq!(player.energy, 8.0 * HOUR);
        let away = player.away.expect("an absence of 100 hours is reported");
        assert_eq!((away.seconds, away.credited_seconds), (100.0 * HOUR, 8.0 * HOUR));
        assert_eq!(away.energy, 8.0 * HOUR);
        player.settle(&timeline(), at(101.0 * HOUR));
        assert_eq!(player.energy, 9.0 * HOUR);
    }

    #[test]
    fn energy_settled_during_an_absence_is_part_of_the_absence() {
        let mut player = with_cranks(2);
        player.settle(&timeline(), at(HOUR));
        player.settle(&timeline(), at(2.0 * HOUR));
        player.arrive(&timeline(), at(3.0 * HOUR));
        assert_eq!(player.away.map(|away| away.energy), Some(3.0 * HOUR));
    }

    #[test]
    fn an_absence_is_longer_than_a_minute_and_is_reported_for_half_a_minute() {
        let mut player = with_cranks(1);
        assert!(!player.arrive(&timeline(), at(60.0)));
        assert!(player.arrive(&timeline(), at(120.1)));
        assert!(player.reported_absence(at(150.0)).is_some());
        assert!(player.reported_absence(at(150.2)).is_none());
    }

    #[test]
    fn time_never_runs_backwards_for_a_player() {
        let mut player = with_cranks(2);
        player.arrive(&timeline(), at(100.0));
        let before = player.clone();
        player.arrive(&timeline(), at(40.0));
        assert_eq!(player, before);
    }

    #[test]
    fn a_new_catalogue_changes_the_rate_when_it_comes_into_force() {
        let mut player = with_cranks(2);
        // The second catalogue triples the crank's rate at 1,000 s.
        player.settle(&two_catalogues(1000.0), at(1500.0));
        assert_eq!(player.energy, 1000.0 + 3.0 * 500.0);
    }

    #[test]
    fn click_tokens_refill_at_their_rate_up_to_the_size_of_the_bucket() {
        let rules = Rules::default();
        let mut bucket = ClickBucket { tokens: 40.0, filled_at: at(0.0) };
        assert_eq!(bucket.take(1000, &rules, at(0.0)), 40);
        assert_eq!(bucket.take(1000, &rules, at(0.5)), 10);
        assert_eq!(bucket.take(1000, &rules, at(100.0)), 40);
        // The clocks of instances differ slightly. This must not refill the bucket.
        assert_eq!(bucket.take(1000, &rules, at(99.0)), 0);
        assert_eq!(bucket.take(1000, &rules, at(100.0)), 0);
        assert_eq!(bucket.take(1000, &rules, at(101.0)), 20);
    }

    #[test]
    fn click_tokens_continue_to_refill_after_the_clock_was_set_back() {
        let rules = Rules::default();
        let mut bucket = ClickBucket { tokens: 40.0, filled_at: at(3600.0) };
        assert_eq!(bucket.take(1000, &rules, at(3600.0)), 40);
        assert_eq!(bucket.take(1000, &rules, at(10.0)), 0);
        assert_eq!(bucket.take(1000, &rules, at(11.0)), 20);
        assert_eq!(bucket.take(1000, &rules, at(3600.0)), 40);
    }

    #[test]
    fn no_time_is_credited_twice_after_the_clock_was_set_back() {
        let mut player = with_cranks(2);
        player.arrive(&timeline(), at(HOUR));
        let credited = player.energy;
        for seconds in [0.0, 1.0, 1800.0, HOUR] {
            player.arrive(&timeline(), at(seconds));
            assert_eq!((player.energy, player.settled_at), (credited, at(HOUR)));
        }
        player.arrive(&timeline(), at(HOUR + 60.0));
        assert_eq!(player.energy, credited + 60.0);
    }

    proptest! {
        #[test]
        fn settling_in_two_steps_gives_the_same_result_as_in_one(
            change in 0.0..2e5f64,
            first in 0.0..1e5f64,
            second in 0.0..1e5f64,
            cranks in 0u64..1000,
            seen in 0.0..1e5f64,
        ) {
            let timeline = two_catalogues(change);
            let mut whole = with_cranks(cranks);
            whole.arrive(&timeline, at(seen));
            let mut parts = whole.clone();
            whole.settle(&timeline, at(seen + first + second));
            parts.settle(&timeline, at(seen + first));
            parts.settle(&timeline, at(seen + first + second));
            prop_assert!(close(whole.energy, parts.energy), "{} is not {}", whole.energy, parts.energy);
            prop_assert!(close(whole.unseen_energy, parts.unseen_energy));
            prop_assert_eq!(whole.settled_at, parts.settled_at);
        }

        #[test]
        fn energy_stays_finite_at_the_end_of_the_range(
            exponent in 290.0..308.2f64,
            stars in 0u64..1_000_000,
            cores in 0.0..1e150f64,
            seconds in 0.0..1e10f64,
        ) {
            let mut player = with_cranks(1);
            player.energy = 10f64.powf(exponent);
            player.lifetime_energy = player.energy;
            player.cores = cores.floor();
            player.inventory.add_generators(&slug("star"), stars.max(1));
            let before = player.energy;
            player.arrive(&timeline(), at(seconds));
            prop_assert!(player.energy.is_finite() && player.energy >= before);
            prop_assert!(player.lifetime_energy.is_finite());
        }
    }
}
