//! The minimum revision of a player: a row with a lower revision is out of date and must not be served.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::generations::Generations;

/// The revision that marks a deleted player.
pub(super) const TOMBSTONE: i64 = i64::MAX;

/// Minimums of evicted players are dropped after one to two of these periods. Twice the TTL in Redis, so that older
/// rows have expired there before.
const GENERATION: Duration = Duration::from_secs(10);

/// How long Postgres may still execute a write of unknown outcome. Much longer than Postgres needs to execute it or to
/// detect that the client disconnected.
const UNSETTLED_FOR: Duration = Duration::from_mins(10);

/// The value of [`Minimum::unsettled`] if there is no write of unknown outcome.
const SETTLED: i64 = i64::MIN;

/// What this process knows about writes of a player's row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minimum {
    /// The highest revision that is known to be committed.
    pub(super) revision: i64,
    /// When this process learned of that revision. A statement that is sent later sees this or a higher revision,
    /// unless the database was reverted to an earlier state.
    known_at: Option<Instant>,
    /// The last time at which the row may have changed to an unknown revision.
    changed_at: Option<Instant>,
    /// The base revision of a write whose outcome is unknown: Postgres may still execute it, and then no instance
    /// announces it. Once a higher revision is committed, the write's revision check fails, so the write is settled.
    /// [`SETTLED`] if there is no such write.
    unsettled: i64,
}

impl Default for Minimum {
    fn default() -> Self {
        Self { revision: 0, known_at: None, changed_at: None, unsettled: SETTLED }
    }
}

/// Where a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A statement of this process. `current_at` is the time at which the statement was sent.
    Statement,
    /// Redis or another instance. `current_at` is derived from another clock and therefore less exact.
    Elsewhere,
}

/// What to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Store it: it is the latest known row.
    Newest,
    /// Store it, although a higher revision was known before the statement was sent: the database was reverted to an
    /// earlier state.
    Reverted { known_at: Option<Instant> },
    /// Discard it, because it may be out of date.
    Outdated,
}

impl Minimum {
    /// At `now` this process learned that `revision` is committed.
    pub(super) fn of_revision(revision: i64, now: Instant) -> Self {
        Self { revision, known_at: Some(now), ..Self::default() }
    }

    /// At `now` the row changed to an unknown revision.
    pub(super) fn of_change(now: Instant) -> Self {
        Self { changed_at: Some(now), ..Self::default() }
    }

    /// At `now` the outcome of a write based on revision `base` is unknown.
    pub(super) fn of_unknown_outcome(base: i64, now: Instant) -> Self {
        Self { unsettled: base, ..Self::of_change(now) }
    }

    /// At `now` the outcome of a write without a revision check is unknown. It counts as settled only after
    /// [`UNSETTLED_FOR`].
    pub(super) fn of_unguarded_write(now: Instant) -> Self {
        Self::of_unknown_outcome(TOMBSTONE - 1, now)
    }

    /// Merges `other` into this.
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

    /// What to do with a row of this revision that was current at `current_at`.
    pub(super) fn admission(
        &self,
        revision: i64,
        current_at: Instant,
        source: Source,
    ) -> Admission {
        if !self.is_since_change(current_at) {
            Admission::Outdated
        } else if revision >= self.revision {
            Admission::Newest
        } else if source == Source::Statement && self.known_at.is_none_or(|at| current_at > at) {
            Admission::Reverted { known_at: self.known_at }
        } else {
            Admission::Outdated
        }
    }

    /// Records that an admitted row of this revision was stored at `now`. Lowers the minimum if the database was
    /// reverted to an earlier state.
    pub(super) fn take(&mut self, revision: i64, now: Instant) {
        if revision != self.revision {
            (self.revision, self.known_at) = (revision, Some(now));
        }
        self.settle();
    }

    /// Whether `current_at` is after every change to an unknown revision.
    pub(super) fn is_since_change(&self, current_at: Instant) -> bool {
        self.changed_at.is_none_or(|at| current_at > at)
    }

    /// Whether Postgres may still execute a write of unknown outcome.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < UNSETTLED_FOR;
        self.unsettled != SETTLED && self.changed_at.is_some_and(lately)
    }

    /// When this process learned that the player was deleted; `None` if it is not deleted.
    pub(super) fn deleted_at(&self) -> Option<Instant> {
        self.known_at.filter(|_| self.revision == TOMBSTONE)
    }
}

/// The minimums of players that are not in the cache, kept for one to two generations.
pub(super) struct Minimums(Mutex<Remembered>);

struct Remembered {
    minimums: Generations<Uuid, Minimum>,
    turned_at: Option<Instant>,
}

impl Default for Minimums {
    fn default() -> Self {
        // No limit of the number: entries are dropped only by age.
        let minimums = Generations::new(usize::MAX);
        Self(Mutex::new(Remembered { minimums, turned_at: None }))
    }
}

impl Minimums {
    /// Merges `minimum` into the player's minimum.
    pub(super) fn raise(&self, player: Uuid, minimum: Minimum, now: Instant) {
        let mut remembered = self.lock();
        remembered.turn(now);
        remembered.minimums.get_or_default(player).raise(minimum);
    }

    /// The player's minimum; the default if none is stored.
    pub(super) fn of(&self, player: Uuid) -> Minimum {
        self.lock().minimums.peek(player).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Drops the older generation when the younger one is old enough, but keeps writes of unknown outcome.
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
    fn minimums_rise_and_are_dropped_after_at_most_two_generations() {
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
    fn a_write_of_unknown_outcome_is_kept_longer() {
        let (minimums, start) = (Minimums::default(), Instant::now());
        let (player, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        minimums.raise(player, Minimum::of_unknown_outcome(7, start), start);
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
    fn a_higher_revision_settles_a_write_of_unknown_outcome() {
        let start = Instant::now();
        let mut minimum = Minimum::of_unknown_outcome(7, start);
        minimum.raise(Minimum::of_revision(7, start));
        assert!(minimum.is_unsettled(start), "the write is based on this revision");
        minimum.raise(Minimum::of_revision(8, start));
        assert!(!minimum.is_unsettled(start));
        minimum.raise(Minimum::of_unguarded_write(start));
        minimum.raise(Minimum::of_revision(9, start));
        assert!(minimum.is_unsettled(start) && !minimum.is_unsettled(start + UNSETTLED_FOR));
    }

    #[test]
    fn an_older_row_is_admitted_if_its_query_was_sent_after_the_newer_one_was_known() {
        let start = Instant::now();
        let minimum = Minimum::of_revision(7, start + seconds(1));
        let admission = |revision, current_at, source| {
            minimum.admission(revision, start + seconds(current_at), source)
        };
        assert_eq!(admission(7, 0, Source::Elsewhere), Admission::Newest);
        assert_eq!(admission(6, 1, Source::Statement), Admission::Outdated);
        let known_at = Some(start + seconds(1));
        assert_eq!(admission(6, 2, Source::Statement), Admission::Reverted { known_at });
        assert_eq!(admission(6, 2, Source::Elsewhere), Admission::Outdated);
    }
}
