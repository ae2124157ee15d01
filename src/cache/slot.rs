//! What this instance knows of one player, and how sure it is. Pure but for the lock: the time is a parameter.
//!
//! A slot never goes back: what is put is kept only where its revision is not below the highest that was ever seen.

use std::any::Any;
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

/// A player's row in the cache, with a place for what was made of it.
#[derive(Debug)]
pub struct Entry {
    pub record: Arc<PlayerRecord>,
    /// What whoever shows the player has worked out. The player's later rows have the same place.
    memo: Arc<Memo>,
    /// When it was last noted that the player was there with this row, in microseconds; 0 at first.
    noted_at: AtomicI64,
}

/// How long one note that a player was there does for.
const NOTED_MICROS: i64 = 1_000_000;

type Memo = Mutex<Option<Arc<dyn Any + Send + Sync>>>;

impl Entry {
    /// An entry with nothing made of it yet.
    pub fn new(record: Arc<PlayerRecord>) -> Arc<Self> {
        Arc::new(Self { record, memo: Arc::default(), noted_at: AtomicI64::default() })
    }

    /// Another row of the same player.
    pub fn with(&self, record: Arc<PlayerRecord>) -> Arc<Self> {
        let memo = Arc::clone(&self.memo);
        Arc::new(Self { record, memo, noted_at: AtomicI64::default() })
    }

    /// Whether it is worth noting that the player is there at `now`, which it is once a second for one row.
    pub fn is_noteworthy(&self, now: Timestamp) -> bool {
        let now = now.as_micros();
        let noteworthy =
            now.abs_diff(self.noted_at.load(Ordering::Relaxed)) >= NOTED_MICROS.unsigned_abs();
        if noteworthy {
            self.noted_at.store(now, Ordering::Relaxed);
        }
        noteworthy
    }

    /// What was remembered, where it is of that type and `holds`; else what `make` makes, which is remembered.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn memo<T: Any + Send + Sync, E>(
        &self,
        holds: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let held = self.memo.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held.and_then(|memo| memo.downcast::<T>().ok())
            && holds(&held)
        {
            return Ok(held);
        }
        let made = Arc::new(make()?);
        let kept = Arc::clone(&made) as Arc<dyn Any + Send + Sync>;
        *self.memo.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(made)
    }
}

/// What is known of one player.
#[derive(Default)]
pub(super) struct Slot {
    known: Mutex<Known>,
    /// The cache has dropped it: what would be put here nobody would find. Set while `known` is locked.
    retired: AtomicBool,
}

#[derive(Default)]
struct Known {
    /// None where there is no such player, or nothing is known.
    entry: Option<Arc<Entry>>,
    /// A time at which that was so; none where nothing is known.
    right_at: Option<Instant>,
    /// The highest revision seen.
    floor: Floor,
    /// The load that is under way.
    loading: Option<Loading>,
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
    Fresh(Option<Arc<Entry>>),
    /// Was right at the time told, and may have changed since.
    Stale(Option<Arc<Entry>>, Instant),
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
        self.lock().loading.get_or_insert_with(begin).clone()
    }

    /// Ends the load that is under way.
    pub(super) fn loaded(&self) {
        self.lock().loading = None;
    }

    /// Takes in a row that was right at `right_at`. Returns whether it is the present one as far as is known.
    pub(super) fn put(&self, record: Arc<PlayerRecord>, right_at: Instant) -> bool {
        self.lock().put(record.revision, right_at, |before| match before {
            Some(before) => before.with(record),
            None => Entry::new(record),
        })
    }

    /// As [`Slot::put`], for an entry of the player that holds what was made of its earlier rows. Returns whether anybody
    /// will find it: a slot that the cache has dropped takes nothing in.
    pub(super) fn keep(&self, entry: &Arc<Entry>, right_at: Instant) -> bool {
        let mut known = self.lock();
        if self.is_retired() {
            return false;
        }
        known.put(entry.record.revision, right_at, |_| Arc::clone(entry));
        true
    }

    /// Takes in that at `right_at` there was no such player.
    pub(super) fn put_missing(&self, right_at: Instant) {
        let mut known = self.lock();
        // What was seen since was created since.
        if known.right_at.is_none_or(|at| at <= right_at) {
            known.entry = None;
            known.right_at = Some(right_at);
        }
    }

    /// Raises the floor: what is below it is not served any more.
    pub(super) fn raise(&self, floor: Floor) {
        let mut known = self.lock();
        known.floor.raise(floor);
        if known.floor.revision == GONE {
            known.entry = None;
        }
    }

    /// The cache has dropped the slot, and whoever still holds it shall hold no memory. Returns what a slot that takes its
    /// place must begin with.
    pub(super) fn retire(&self) -> Floor {
        let mut known = self.lock();
        self.retired.store(true, Ordering::Relaxed);
        (known.entry, known.right_at) = (None, None);
        known.floor
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The row to fold commands from: the newest that is known, be it out of date.
    pub(super) fn base(&self) -> Option<Arc<Entry>> {
        let known = self.lock();
        let entry = known.entry.as_ref()?;
        (entry.record.revision >= known.floor.revision).then(|| Arc::clone(entry))
    }

    /// The bytes that the slot takes, roughly.
    pub(super) fn weight(&self) -> u32 {
        let known = self.lock();
        // Key, two words of the cache's own for each of its queues, and the slot itself.
        let fixed = 200 + size_of::<Self>();
        let entry = known.entry.as_ref().map_or(0, |entry| {
            size_of::<Entry>() + size_of::<PlayerRecord>() + 32 + MEMO + entry.record.heap_bytes()
        });
        u32::try_from(fixed + entry).unwrap_or(u32::MAX)
    }
}

/// What is made of an entry: some pieces of JSON and numbers.
const MEMO: usize = 1024;

impl Known {
    fn put(
        &mut self,
        revision: i64,
        right_at: Instant,
        entry: impl FnOnce(Option<Arc<Entry>>) -> Arc<Entry>,
    ) -> bool {
        if !self.floor.admits(revision, right_at) {
            return false;
        }
        let same = self.entry.as_ref().is_some_and(|it| it.record.revision == revision);
        self.right_at = if same { self.right_at.max(Some(right_at)) } else { Some(right_at) };
        self.floor.revision = revision;
        if !same {
            self.entry = Some(entry(self.entry.take()));
        }
        true
    }

    fn look(&self, now: Instant, trust: &Trust) -> Look {
        if self.floor.revision == GONE {
            return Look::Fresh(None);
        }
        let Some(right_at) = self.right_at else { return Look::Unknown };
        match &self.entry {
            None if now.saturating_duration_since(right_at) < MISSING_FOR
                && self.floor.admits(i64::MAX, right_at) =>
            {
                Look::Fresh(None)
            }
            None => Look::Unknown,
            Some(entry) => {
                let revision = entry.record.revision;
                if revision < self.floor.revision {
                    Look::Unknown
                } else if self.floor.admits(revision, right_at) && trust.holds(right_at, now) {
                    Look::Fresh(Some(Arc::clone(entry)))
                } else {
                    Look::Stale(Some(Arc::clone(entry)), right_at)
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
