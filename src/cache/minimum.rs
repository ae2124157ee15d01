//! The revision that a player's row is known to have reached, so that nothing older is served.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::generations::Generations;

/// The revision of a player that was deleted.
pub(super) const GONE: i64 = i64::MAX;

/// Twice as long as anything stays in Redis: what is older than a minimum that was forgotten is gone from there.
const GENERATION: Duration = Duration::from_secs(10);

/// How long a write of unknown fate may still be carried out: far longer than Postgres takes to do what it was sent, or to
/// notice that nobody waits for the answer.
const UNSETTLED_FOR: Duration = Duration::from_mins(10);

/// No write of unknown fate is known.
const SETTLED: i64 = i64::MIN;

/// What is known about the writes of a player's row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minimum {
    /// The highest revision that is known to be committed.
    pub(super) revision: i64,
    /// When this process learned of it. Statements that are sent later see this revision or a higher one, unless the
    /// database went back.
    known_at: Option<Instant>,
    /// The row may have changed then, to a revision that is not known.
    changed_at: Option<Instant>,
    /// A write that was made from this revision has an unknown fate: it may still be carried out, and nobody would announce
    /// it. Any higher revision settles it, as the guard of that write fails then. [`SETTLED`] where there is none.
    unsettled: i64,
}

impl Default for Minimum {
    fn default() -> Self {
        Self { revision: 0, known_at: None, changed_at: None, unsettled: SETTLED }
    }
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A statement of this process, sent at the time at which the row was right.
    Statement,
    /// Another instance, by Redis. The time is reckoned from its clock.
    Elsewhere,
}

/// What is to become of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is the newest one as far as is known.
    Newest,
    /// It is the truth, though it is older than one that was known at that time, before it was asked for: the database went
    /// back in between.
    WentBack { known_at: Option<Instant> },
    /// It may be out of date.
    Outdated,
}

impl Minimum {
    /// That `revision` is committed was learned at `now`.
    pub(super) fn of_revision(revision: i64, now: Instant) -> Self {
        Self { revision, known_at: Some(now), ..Self::default() }
    }

    /// The row changed at `now`, to a revision that is not known.
    pub(super) fn of_change(now: Instant) -> Self {
        Self { changed_at: Some(now), ..Self::default() }
    }

    /// What became of a write made from `base` is not known at `now`.
    pub(super) fn of_unknown_fate(base: i64, now: Instant) -> Self {
        Self { unsettled: base, ..Self::of_change(now) }
    }

    /// What became of a write that no revision guards is not known at `now`: time alone settles it.
    pub(super) fn of_unguarded_fate(now: Instant) -> Self {
        Self::of_unknown_fate(GONE - 1, now)
    }

    /// Takes in what else is known.
    pub(super) fn raise(&mut self, other: Self) {
        if other.revision > self.revision {
            (self.revision, self.known_at) = (other.revision, other.known_at);
        } else if other.revision == self.revision {
            // Whoever knew first: what was asked for after that sees it.
            self.known_at = self.known_at.into_iter().chain(other.known_at).min();
        }
        self.changed_at = self.changed_at.max(other.changed_at);
        self.unsettled = self.unsettled.max(other.unsettled);
        self.settle();
    }

    fn settle(&mut self) {
        if self.revision > self.unsettled {
            self.unsettled = SETTLED;
        }
    }

    /// Whether a row of that revision, right at `right_at`, is to be taken in.
    pub(super) fn admission(&self, revision: i64, right_at: Instant, source: Source) -> Admission {
        if !self.is_since_change(right_at) {
            Admission::Outdated
        } else if revision >= self.revision {
            Admission::Newest
        } else if source == Source::Statement && self.known_at.is_none_or(|at| right_at > at) {
            Admission::WentBack { known_at: self.known_at }
        } else {
            Admission::Outdated
        }
    }

    /// A row of that revision was taken in at `now`. It lowers the minimum where the database went back.
    pub(super) fn take(&mut self, revision: i64, now: Instant) {
        if revision != self.revision {
            (self.revision, self.known_at) = (revision, Some(now));
        }
        self.settle();
    }

    /// Whether what was right at `right_at` is later than any change to an unknown revision.
    pub(super) fn is_since_change(&self, right_at: Instant) -> bool {
        self.changed_at.is_none_or(|at| right_at > at)
    }

    /// Whether a write may still be carried out that nobody would announce.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < UNSETTLED_FOR;
        self.unsettled != SETTLED && self.changed_at.is_some_and(lately)
    }

    /// When it was learned that the player was deleted; none where that is not known.
    pub(super) fn gone_at(&self) -> Option<Instant> {
        self.known_at.filter(|_| self.revision == GONE)
    }
}

/// The minimums of players who are not in the cache, remembered for one to two generations.
pub(super) struct Minimums(Mutex<Remembered>);

struct Remembered {
    minimums: Generations<Uuid, Minimum>,
    turned_at: Option<Instant>,
}

impl Default for Minimums {
    fn default() -> Self {
        // Entries are forgotten by time alone.
        let minimums = Generations::new(usize::MAX);
        Self(Mutex::new(Remembered { minimums, turned_at: None }))
    }
}

impl Minimums {
    /// Adds what is known about a player.
    pub(super) fn raise(&self, player: Uuid, minimum: Minimum, now: Instant) {
        let mut remembered = self.lock();
        remembered.turn(now);
        remembered.minimums.get_or_default(player).raise(minimum);
    }

    /// What is known about a player.
    pub(super) fn of(&self, player: Uuid) -> Minimum {
        self.lock().minimums.peek(player).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Forgets the older generation when the younger one is old enough, but no write of unknown fate.
    fn turn(&mut self, now: Instant) {
        let turned_at = *self.turned_at.get_or_insert(now);
        if now.saturating_duration_since(turned_at) < GENERATION {
            return;
        }
        let forgotten = self.minimums.turn();
        for (player, minimum) in forgotten.into_iter().filter(|(_, it)| it.is_unsettled(now)) {
            self.minimums.insert(player, minimum);
        }
        self.turned_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn minimums_rise_and_are_forgotten_after_two_generations_at_most() {
        let (minimums, start) = (Minimums::default(), Instant::now());
        let (player, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let minimum = |revision| Minimum::of_revision(revision, start);
        minimums.raise(player, minimum(7), start);
        minimums.raise(player, minimum(5), start);
        assert_eq!(minimums.of(player), minimum(7));
        minimums.raise(other, minimum(1), start + GENERATION);
        assert_eq!(minimums.of(player), minimum(7));
        minimums.raise(other, minimum(1), start + 2 * GENERATION);
        assert_eq!(minimums.of(player), Minimum::default());
    }

    #[test]
    fn a_write_of_unknown_fate_is_remembered_for_longer() {
        let (minimums, start) = (Minimums::default(), Instant::now());
        let (player, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        minimums.raise(player, Minimum::of_unknown_fate(7, start), start);
        for turn in 1..10 {
            let now = start + turn * GENERATION;
            minimums.raise(other, Minimum::of_revision(1, start), now);
            assert!(minimums.of(player).is_unsettled(now), "after {turn} turns");
        }
        for turn in 61..64 {
            minimums.raise(other, Minimum::of_revision(1, start), start + turn * GENERATION);
        }
        assert_eq!(minimums.of(player), Minimum::default());
    }

    #[test]
    fn a_higher_revision_settles_a_write_of_unknown_fate() {
        let start = Instant::now();
        let mut minimum = Minimum::of_unknown_fate(7, start);
        minimum.raise(Minimum::of_revision(7, start));
        assert!(minimum.is_unsettled(start), "it was made from this one");
        minimum.raise(Minimum::of_revision(8, start));
        assert!(!minimum.is_unsettled(start));
        minimum.raise(Minimum::of_unguarded_fate(start));
        minimum.raise(Minimum::of_revision(9, start));
        assert!(minimum.is_unsettled(start) && !minimum.is_unsettled(start + UNSETTLED_FOR));
    }

    #[test]
    fn an_older_row_is_the_truth_where_it_was_asked_for_after_the_newer_one_was_known() {
        let start = Instant::now();
        let minimum = Minimum::of_revision(7, start + seconds(1));
        let admission = |revision, right_at, source| {
            minimum.admission(revision, start + seconds(right_at), source)
        };
        assert_eq!(admission(7, 0, Source::Elsewhere), Admission::Newest);
        assert_eq!(admission(6, 1, Source::Statement), Admission::Outdated);
        let known_at = Some(start + seconds(1));
        assert_eq!(admission(6, 2, Source::Statement), Admission::WentBack { known_at });
        assert_eq!(admission(6, 2, Source::Elsewhere), Admission::Outdated);
    }
}
