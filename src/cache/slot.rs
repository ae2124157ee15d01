//! What this instance knows about one player, and how reliable it is. Deterministic except for its locks: the time is a
//! parameter.
//!
//! A slot never goes back: a row is stored only if its revision is not below the highest that was seen, unless the
//! database itself went back to an earlier state.

use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Loading;
use super::minimum::{Admission, Minimum, Source};
use super::page::Page;
use crate::domain::Timestamp;
use crate::identity::IdentityTracker;
use crate::peers::{ALWAYS_FRESH, Freshness};
use crate::store::players::PlayerRecord;

/// How long it is assumed that a missing player does not exist.
const MISSING_FOR: Duration = Duration::from_secs(1);

/// The interval at which the player's presence is noted.
const NOTED_MICROS: i64 = 1_000_000;

/// What is known about one player.
#[derive(Default)]
pub(super) struct Slot {
    known: Mutex<Known>,
    /// The cache has evicted the slot, so rows stored here would be lost. Set while `known` is locked.
    retired: AtomicBool,
    /// The rendered state of the row, or of an earlier one.
    page: Mutex<Option<Arc<Page>>>,
    /// When the player's presence was last noted, in microseconds; 0 at first.
    noted_at: AtomicI64,
}

#[derive(Default)]
struct Known {
    /// `None` if there is no such player, or if nothing is known.
    record: Option<Arc<PlayerRecord>>,
    /// A time at which that was right; `None` if nothing is known.
    right_at: Option<Instant>,
    /// The minimum revision of the row.
    minimum: Minimum,
    /// The load in progress. Boxed, because there rarely is one.
    loading: Option<Box<Loading>>,
}

/// The result of reading a slot.
pub(super) enum Lookup {
    /// The row may be served.
    Fresh(Option<Arc<PlayerRecord>>),
    /// The row was right at this time and may have changed since.
    Stale(Option<Arc<PlayerRecord>>, Instant),
    Unknown,
}

impl Slot {
    pub(super) fn new(minimum: Minimum) -> Self {
        Self { known: Mutex::new(Known { minimum, ..Known::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look_up(&self, now: Instant, freshness: &Freshness) -> Lookup {
        self.lock().look_up(now, freshness)
    }

    /// The load in progress, or else the one that `begin` begins.
    pub(super) fn loading(&self, begin: impl FnOnce() -> Loading) -> Loading {
        Loading::clone(self.lock().loading.get_or_insert_with(|| Box::new(begin())))
    }

    /// Ends the load in progress.
    pub(super) fn loaded(&self) {
        self.lock().loading = None;
    }

    /// Stores a row that was right at `right_at`, and returns what was done with it. `None` if the slot was evicted.
    pub(super) fn put(
        &self,
        record: Arc<PlayerRecord>,
        right_at: Instant,
        source: Source,
        now: Instant,
    ) -> Option<Admission> {
        let mut known = self.lock();
        (!self.is_retired()).then(|| known.put(record, right_at, source, now))
    }

    /// Notes that there was no such player at `right_at`.
    pub(super) fn put_missing(&self, right_at: Instant) {
        let mut known = self.lock();
        // A row that was seen later was created later.
        if known.right_at.is_none_or(|at| at <= right_at) {
            known.record = None;
            known.right_at = Some(right_at);
        }
    }

    /// Raises the minimum: rows below it are no longer served. Returns false if the slot was evicted and does not
    /// remember it.
    pub(super) fn raise(&self, minimum: Minimum) -> bool {
        let mut known = self.lock();
        if self.is_retired() {
            return false;
        }
        known.minimum.raise(minimum);
        if known.minimum.deleted_at().is_some() {
            known.record = None;
        }
        true
    }

    /// Marks the slot as evicted and frees its memory, because callers may still have handles. Returns the minimum with
    /// which another slot must begin.
    pub(super) fn retire(&self) -> Minimum {
        let mut known = self.lock();
        self.retired.store(true, Ordering::Relaxed);
        (known.record, known.right_at) = (None, None);
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = None;
        known.minimum
    }

    /// The page, if one is kept and `holds`; otherwise the one that `render` makes, which is kept.
    pub(super) fn page<E>(
        &self,
        holds: impl FnOnce(&Page) -> bool,
        render: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        let lock = || self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().clone();
        if let Some(page) = kept.filter(|page| holds(page)) {
            return Ok(page);
        }
        // Without the lock, because rendering takes a while.
        let page = Arc::new(render()?);
        if !self.is_retired() {
            *lock() = Some(Arc::clone(&page));
        }
        Ok(page)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The row for applying commands: the latest that is known, even if it is out of date. Not a row from before a
    /// connection was lost: the next connection may lead to a server whose row of the same revision differs.
    pub(super) fn base(&self, identity: &IdentityTracker) -> Option<Arc<PlayerRecord>> {
        let known = self.lock();
        let record = known.record.as_ref()?;
        let newest = record.revision >= known.minimum.revision;
        let trusted = known.right_at.is_some_and(|at| identity.is_still_valid(at));
        (newest && trusted).then(|| Arc::clone(record))
    }

    /// Whether the player's presence should be noted at `now`. True once a second.
    pub(super) fn is_noteworthy(&self, now: Timestamp) -> bool {
        let now = now.as_micros();
        let noteworthy =
            now.abs_diff(self.noted_at.load(Ordering::Relaxed)) >= NOTED_MICROS.unsigned_abs();
        if noteworthy {
            self.noted_at.store(now, Ordering::Relaxed);
        }
        noteworthy
    }

    /// The size of the slot in bytes, roughly.
    pub(super) fn weight(&self) -> u32 {
        let known = self.lock();
        let record = known
            .record
            .as_ref()
            .map_or(0, |record| size_of::<PlayerRecord>() + PAGE + record.heap_bytes());
        u32::try_from(OWN + size_of::<Self>() + record).unwrap_or(u32::MAX)
    }
}

/// Overhead of the cache for each entry, measured.
const OWN: usize = 350;
/// Bytes of a page, roughly.
const PAGE: usize = 1024;

impl Known {
    fn put(
        &mut self,
        mut record: Arc<PlayerRecord>,
        right_at: Instant,
        source: Source,
        now: Instant,
    ) -> Admission {
        let revision = record.revision;
        let admission = self.minimum.admission(revision, right_at, source);
        if admission == Admission::Outdated {
            return admission;
        }
        let same = self.record.as_ref().is_some_and(|it| it.revision == revision);
        // After the database went back, a row of the same revision may differ.
        let same = same && admission == Admission::Newest;
        self.right_at = if same { self.right_at.max(Some(right_at)) } else { Some(right_at) };
        self.minimum.take(revision, now);
        if !same {
            // A row from another instance. A row that is used elsewhere too was made from the previous one already.
            if let (Some(before), Some(new)) = (&self.record, Arc::get_mut(&mut record)) {
                new.share_with(before);
            }
            self.record = Some(record);
        }
        admission
    }

    fn look_up(&self, now: Instant, freshness: &Freshness) -> Lookup {
        if self.minimum.deleted_at().is_some_and(|at| freshness.identity().knows(at)) {
            return Lookup::Fresh(None);
        }
        let Some(right_at) = self.right_at.filter(|&at| freshness.identity().knows(at)) else {
            return Lookup::Unknown;
        };
        let unchanged = self.minimum.is_since_change(right_at);
        let age = now.saturating_duration_since(right_at);
        match &self.record {
            None if unchanged
                && age < MISSING_FOR
                && freshness.identity().is_still_valid(right_at) =>
            {
                Lookup::Fresh(None)
            }
            Some(record) if record.revision >= self.minimum.revision => {
                // A write of unknown outcome would not be announced.
                let settled = !self.minimum.is_unsettled(now) || age < ALWAYS_FRESH;
                if unchanged && settled && freshness.is_fresh(right_at, now) {
                    Lookup::Fresh(Some(Arc::clone(record)))
                } else {
                    Lookup::Stale(Some(Arc::clone(record)), right_at)
                }
            }
            _ => Lookup::Unknown,
        }
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
