//! The minimum revision: a row of a lower revision is out of date and must not be served.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::generations::Generations;

/// The revision of the tombstone of a deleted player.
pub(super) const TOMBSTONE: i64 = i64::MAX;

/// Twice the TTL in Redis, so that when a minimum is forgotten, older rows have expired there.
const GENERATION: Duration = Duration::from_secs(10);

/// How long a write of unknown outcome may still be carried out: far longer than Postgres takes to execute it or to
/// notice that its client is gone.
const UNSETTLED_FOR: Duration = Duration::from_mins(10);

/// The value if there is no write of unknown outcome.
const SETTLED: i64 = i64::MIN;

/// What is known about writes of a player's row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minimum {
    /// The highest revision that is known to be committed.
    pub(super) revision: i64,
    /// When this process learned of that revision. A statement that is sent later sees this or a higher revision,
    /// unless the database went back to an earlier state.
    known_at: Option<Instant>,
    /// When the row may have changed to an unknown revision.
    changed_at: Option<Instant>,
    /// A write that was made from this revision has an unknown outcome: it may still be carried out, without an
    /// announcement. Any higher revision settles it, because the write's guard fails then. [`SETTLED`] if there is no
    /// such write.
    unsettled: i64,
}

impl Default for Minimum {
    fn default() -> Self {
        Self { revision: 0, known_at: None, changed_at: None, unsettled: SETTLED }
    }
}

/// The source of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A statement of this process. The row's time is when the statement was sent.
    Statement,
    /// Redis or another instance. The row's time is derived from another clock.
    Elsewhere,
}

/// What to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Store it: it is the latest known row.
    Newest,
    /// Store it: it is right although a higher revision was known before the statement was sent, because the database
    /// went back to an earlier state.
    WentBack { known_at: Option<Instant> },
    /// Discard it: it may be out of date.
    Outdated,
}

impl Minimum {
    /// `revision` is known to be committed since `now`.
    pub(super) fn of_revision(revision: i64, now: Instant) -> Self {
        Self { revision, known_at: Some(now), ..Self::default() }
    }

    /// The row changed at `now` to an unknown revision.
    pub(super) fn of_change(now: Instant) -> Self {
        Self { changed_at: Some(now), ..Self::default() }
    }

    /// At `now` the outcome of a write that was made from `base` is unknown.
    pub(super) fn of_unknown_fate(base: i64, now: Instant) -> Self {
        Self { unsettled: base, ..Self::of_change(now) }
    }

    /// At `now` the outcome of a write that no revision guards is unknown. Only time settles it.
    pub(super) fn of_unguarded_fate(now: Instant) -> Self {
        Self::of_unknown_fate(TOMBSTONE - 1, now)
    }

    /// Adds what else is known.
    pub(super) fn raise(&mut self, other: Self) {
        if other.revision > self.revision {
            (self.revision, self.known_at) = (other.revision, other.known_at);
        } else if other.revision == self.revision {
            // The earlier of the two times: statements that were sent after it see the revision.
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

    /// What to do with a row of this revision that was right at `right_at`.
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

    /// Notes that a row of this revision was stored at `now`. Lowers the minimum if the database went back to an
    /// earlier state.
    pub(super) fn take(&mut self, revision: i64, now: Instant) {
        if revision != self.revision {
            (self.revision, self.known_at) = (revision, Some(now));
        }
        self.settle();
    }

    /// Whether `right_at` is after every change to an unknown revision.
    pub(super) fn is_since_change(&self, right_at: Instant) -> bool {
        self.changed_at.is_none_or(|at| right_at > at)
    }

    /// Whether a write may still be carried out without an announcement.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < UNSETTLED_FOR;
        self.unsettled != SETTLED && self.changed_at.is_some_and(lately)
    }

    /// When the player was known to be deleted; `None` if it is not.
    pub(super) fn deleted_at(&self) -> Option<Instant> {
        self.known_at.filter(|_| self.revision == TOMBSTONE)
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
        // Entries are forgotten only by time.
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
