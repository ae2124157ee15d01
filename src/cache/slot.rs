//! The cache entry of one player: its row, and how long the row may be served. The time is a parameter, so that tests
//! are deterministic.
//!
//! A row is stored only if its revision is not below the highest revision that was seen, unless the database itself was
//! reverted to an earlier state.

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

/// How long the result "the player does not exist" is served.
const MISSING_FOR: Duration = Duration::from_secs(1);

/// The interval at which the player's presence is recorded.
const PRESENCE_INTERVAL_MICROS: i64 = 1_000_000;

/// What is known about one player.
#[derive(Default)]
pub(super) struct Slot {
    known: Mutex<Known>,
    /// Whether the cache evicted the slot, so that rows stored in it would be lost. Set while `known` is locked.
    retired: AtomicBool,
    /// The rendered state of the row or of an earlier row.
    page: Mutex<Option<Arc<Page>>>,
    /// When the player's presence was last recorded, in microseconds; 0 if never.
    presence_noted_at: AtomicI64,
}

#[derive(Default)]
struct Known {
    /// `None` if the player does not exist, or if `current_at` is `None`.
    record: Option<Arc<PlayerRecord>>,
    /// A time at which `record` matched the database; `None` if nothing was loaded yet.
    current_at: Option<Instant>,
    /// The minimum revision of the row.
    minimum: Minimum,
    /// The load in progress. Boxed to save memory, because most slots have none.
    loading: Option<Box<Loading>>,
}

/// The result of reading a slot.
pub(super) enum Lookup {
    /// The row may be served.
    Fresh(Option<Arc<PlayerRecord>>),
    /// The row was current at this time and may have changed since.
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

    /// The load in progress. Calls `begin` to start one if there is none.
    pub(super) fn loading(&self, begin: impl FnOnce() -> Loading) -> Loading {
        Loading::clone(self.lock().loading.get_or_insert_with(|| Box::new(begin())))
    }

    /// Forgets the load in progress after it finished.
    pub(super) fn loaded(&self) {
        self.lock().loading = None;
    }

    /// Stores a row that was current at `current_at` if it is admitted. Returns `None` if the slot was evicted.
    pub(super) fn put(
        &self,
        record: Arc<PlayerRecord>,
        current_at: Instant,
        source: Source,
        now: Instant,
    ) -> Option<Admission> {
        let mut known = self.lock();
        (!self.is_retired()).then(|| known.put(record, current_at, source, now))
    }

    /// Records that the player did not exist at `current_at`.
    pub(super) fn put_missing(&self, current_at: Instant) {
        let mut known = self.lock();
        // A row with a later time means that the player was created after `current_at`.
        if known.current_at.is_none_or(|at| at <= current_at) {
            known.record = None;
            known.current_at = Some(current_at);
        }
    }

    /// Raises the minimum: rows below it are no longer served. Returns false if the slot was evicted, in which case the
    /// minimum is not stored.
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

    /// Marks the slot as evicted and frees the row and the page, because handles may keep the slot alive. Returns the
    /// minimum with which the next slot of this player must start.
    pub(super) fn retire(&self) -> Minimum {
        let mut known = self.lock();
        self.retired.store(true, Ordering::Relaxed);
        (known.record, known.current_at) = (None, None);
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = None;
        known.minimum
    }

    /// The stored page if `is_valid` accepts it; otherwise the result of `render`, which is stored.
    pub(super) fn page<E>(
        &self,
        is_valid: impl FnOnce(&Page) -> bool,
        render: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        let lock = || self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = lock().clone();
        if let Some(page) = stored.filter(|page| is_valid(page)) {
            return Ok(page);
        }
        // Render without holding the lock, because rendering is slow.
        let page = Arc::new(render()?);
        if !self.is_retired() {
            *lock() = Some(Arc::clone(&page));
        }
        Ok(page)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The latest known row, for applying commands. It may be out of date. Rows that were read before a connection was
    /// lost are excluded: the next connection may lead to a server whose row of the same revision differs.
    pub(super) fn base(&self, identity: &IdentityTracker) -> Option<Arc<PlayerRecord>> {
        let known = self.lock();
        let record = known.record.as_ref()?;
        let newest = record.revision >= known.minimum.revision;
        let valid = known.current_at.is_some_and(|at| identity.is_still_valid(at));
        (newest && valid).then(|| Arc::clone(record))
    }

    /// Whether the caller should record the player's presence at `now`. Returns true at most once a second.
    pub(super) fn is_presence_due(&self, now: Timestamp) -> bool {
        let now = now.as_micros();
        let due = now.abs_diff(self.presence_noted_at.load(Ordering::Relaxed))
            >= PRESENCE_INTERVAL_MICROS.unsigned_abs();
        if due {
            self.presence_noted_at.store(now, Ordering::Relaxed);
        }
        due
    }

    /// The approximate size of the slot in bytes.
    pub(super) fn weight(&self) -> u32 {
        let known = self.lock();
        let record = known
            .record
            .as_ref()
            .map_or(0, |record| size_of::<PlayerRecord>() + PAGE_BYTES + record.heap_bytes());
        u32::try_from(ENTRY_OVERHEAD + size_of::<Self>() + record).unwrap_or(u32::MAX)
    }
}

/// The measured overhead of the cache for each entry, in bytes.
const ENTRY_OVERHEAD: usize = 350;
/// The approximate size of a page, in bytes.
const PAGE_BYTES: usize = 1024;

impl Known {
    fn put(
        &mut self,
        mut record: Arc<PlayerRecord>,
        current_at: Instant,
        source: Source,
        now: Instant,
    ) -> Admission {
        let revision = record.revision;
        let admission = self.minimum.admission(revision, current_at, source);
        if admission == Admission::Outdated {
            return admission;
        }
        let same = self.record.as_ref().is_some_and(|it| it.revision == revision);
        // After the database was reverted, a row of the same revision may differ.
        let same = same && admission == Admission::Newest;
        self.current_at =
            if same { self.current_at.max(Some(current_at)) } else { Some(current_at) };
        self.minimum.take(revision, now);
        if !same {
            // A row that was decoded or loaded has no other owner yet and can share its parts with the previous row. A
            // row with other owners was derived from the previous row and shares them already.
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
        let Some(current_at) = self.current_at.filter(|&at| freshness.identity().knows(at)) else {
            return Lookup::Unknown;
        };
        let unchanged = self.minimum.is_since_change(current_at);
        let age = now.saturating_duration_since(current_at);
        match &self.record {
            None if unchanged
                && age < MISSING_FOR
                && freshness.identity().is_still_valid(current_at) =>
            {
                Lookup::Fresh(None)
            }
            Some(record) if record.revision >= self.minimum.revision => {
                // A write of unknown outcome may change the row without an announcement.
                let settled = !self.minimum.is_unsettled(now) || age < ALWAYS_FRESH;
                if unchanged && settled && freshness.is_fresh(current_at, now) {
                    Lookup::Fresh(Some(Arc::clone(record)))
                } else {
                    Lookup::Stale(Some(Arc::clone(record)), current_at)
                }
            }
            _ => Lookup::Unknown,
        }
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
