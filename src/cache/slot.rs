//! What this instance knows of one player, and how sure it is. Pure but for the lock: the time is a parameter.
//!
//! A slot never goes back: what is put is kept only where its revision is not below the highest that was ever seen.

use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Loading;
use super::trust::Trust;
use crate::domain::Timestamp;
use crate::store::players::PlayerRecord;

/// For how long it is believed that there is no such player.
const MISSING_FOR: Duration = Duration::from_secs(1);
/// The revision of a player that is gone for good.
pub(super) const GONE: i64 = i64::MAX;

/// How long one note that a player was there does for.
const NOTED_MICROS: i64 = 1_000_000;

/// What is known of one player.
#[derive(Default)]
pub(super) struct Slot {
    known: Mutex<Known>,
    /// The cache has dropped it: what would be put here nobody would find. Set while `known` is locked.
    retired: AtomicBool,
    /// When it was last noted that the player was there, in microseconds; 0 at first.
    noted_at: AtomicI64,
}

#[derive(Default)]
struct Known {
    /// None where there is no such player, or nothing is known.
    record: Option<Arc<PlayerRecord>>,
    /// A time at which that was so; none where nothing is known.
    right_at: Option<Instant>,
    /// The highest revision seen.
    floor: Floor,
    /// The load that is under way; apart, as there seldom is one.
    loading: Option<Box<Loading>>,
}

/// What a player's row cannot be below any more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Floor {
    pub(super) revision: i64,
    /// The row may have changed then, to a revision that is not known.
    pub(super) changed_at: Option<Instant>,
}

impl Floor {
    /// The higher of both.
    pub(super) fn raise(&mut self, other: Self) {
        self.revision = self.revision.max(other.revision);
        self.changed_at = self.changed_at.max(other.changed_at);
    }

    /// Whether a row of that revision, read then, may be the present one.
    pub(super) fn admits(&self, revision: i64, right_at: Instant) -> bool {
        revision >= self.revision && self.changed_at.is_none_or(|at| right_at > at)
    }
}

/// What a look at a slot finds.
pub(super) enum Look {
    /// May be served.
    Fresh(Option<Arc<PlayerRecord>>),
    /// Was right at the time told, and may have changed since.
    Stale(Option<Arc<PlayerRecord>>, Instant),
    Unknown,
}

impl Slot {
    pub(super) fn new(floor: Floor) -> Self {
        Self { known: Mutex::new(Known { floor, ..Known::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(&self, now: Instant, trust: &Trust) -> Look {
        self.lock().look(now, trust)
    }

    /// The load that is under way, or else the one that `begin` begins.
    pub(super) fn loading(&self, begin: impl FnOnce() -> Loading) -> Loading {
        Loading::clone(self.lock().loading.get_or_insert_with(|| Box::new(begin())))
    }

    /// Ends the load that is under way.
    pub(super) fn loaded(&self) {
        self.lock().loading = None;
    }

    /// Takes in a row that was right at `right_at`. Returns whether it is the present one as far as is known.
    pub(super) fn put(&self, record: Arc<PlayerRecord>, right_at: Instant) -> bool {
        self.lock().put(record, right_at)
    }

    /// As [`Slot::put`], but returns whether anybody will find it: a slot that the cache has dropped takes nothing in.
    pub(super) fn keep(&self, record: &Arc<PlayerRecord>, right_at: Instant) -> bool {
        let mut known = self.lock();
        if self.is_retired() {
            return false;
        }
        known.put(Arc::clone(record), right_at);
        true
    }

    /// Takes in that at `right_at` there was no such player.
    pub(super) fn put_missing(&self, right_at: Instant) {
        let mut known = self.lock();
        // What was seen since was created since.
        if known.right_at.is_none_or(|at| at <= right_at) {
            known.record = None;
            known.right_at = Some(right_at);
        }
    }

    /// Raises the floor: what is below it is not served any more.
    pub(super) fn raise(&self, floor: Floor) {
        let mut known = self.lock();
        known.floor.raise(floor);
        if known.floor.revision == GONE {
            known.record = None;
        }
    }

    /// The cache has dropped the slot, and whoever still holds it shall hold no memory. Returns what a slot that takes its
    /// place must begin with.
    pub(super) fn retire(&self) -> Floor {
        let mut known = self.lock();
        self.retired.store(true, Ordering::Relaxed);
        (known.record, known.right_at) = (None, None);
        known.floor
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The row to fold commands from: the newest that is known, be it out of date.
    pub(super) fn base(&self) -> Option<Arc<PlayerRecord>> {
        let known = self.lock();
        let record = known.record.as_ref()?;
        (record.revision >= known.floor.revision).then(|| Arc::clone(record))
    }

    /// Whether it is worth noting that the player is there at `now`, which it is once a second.
    pub(super) fn is_noteworthy(&self, now: Timestamp) -> bool {
        let now = now.as_micros();
        let noteworthy =
            now.abs_diff(self.noted_at.load(Ordering::Relaxed)) >= NOTED_MICROS.unsigned_abs();
        if noteworthy {
            self.noted_at.store(now, Ordering::Relaxed);
        }
        noteworthy
    }

    /// The bytes that the slot takes, roughly.
    pub(super) fn weight(&self) -> u32 {
        let known = self.lock();
        let record = known
            .record
            .as_ref()
            .map_or(0, |record| size_of::<PlayerRecord>() + PAGE + record.heap_bytes());
        u32::try_from(OWN + size_of::<Self>() + record).unwrap_or(u32::MAX)
    }
}

/// What the cache takes for itself, as it was measured.
const OWN: usize = 350;
/// What is made of a player who is shown: some pieces of JSON and numbers.
const PAGE: usize = 1024;

impl Known {
    fn put(&mut self, mut record: Arc<PlayerRecord>, right_at: Instant) -> bool {
        let revision = record.revision;
        if !self.floor.admits(revision, right_at) {
            return false;
        }
        let same = self.record.as_ref().is_some_and(|it| it.revision == revision);
        self.right_at = if same { self.right_at.max(Some(right_at)) } else { Some(right_at) };
        self.floor.revision = revision;
        if !same {
            // A row that another instance has told of; one that is held elsewhere too was made from the one before.
            if let (Some(before), Some(new)) = (&self.record, Arc::get_mut(&mut record)) {
                new.share_with(before);
            }
            self.record = Some(record);
        }
        true
    }

    fn look(&self, now: Instant, trust: &Trust) -> Look {
        if self.floor.revision == GONE {
            return Look::Fresh(None);
        }
        let Some(right_at) = self.right_at else { return Look::Unknown };
        match &self.record {
            None if now.saturating_duration_since(right_at) < MISSING_FOR
                && self.floor.admits(i64::MAX, right_at) =>
            {
                Look::Fresh(None)
            }
            None => Look::Unknown,
            Some(record) => {
                let revision = record.revision;
                if revision < self.floor.revision {
                    Look::Unknown
                } else if self.floor.admits(revision, right_at) && trust.holds(right_at, now) {
                    Look::Fresh(Some(Arc::clone(record)))
                } else {
                    Look::Stale(Some(Arc::clone(record)), right_at)
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
