//! The identity of the database that this process uses, and whether rows that were read before are still valid.
//!
//! Several deployments may share a Redis. A database may be restored or replaced by its standby while Redis and the
//! servers keep older data. Two numbers distinguish these cases. *Database* identifies a database; copies of a database
//! have different numbers. *Epoch* changes whenever rows may have been reset to an earlier state.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

/// An epoch of a database. Within an epoch no row is reset to an earlier state. Epochs have no order and can only be
/// compared for equality. Displayed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the epoch.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl FromStr for Epoch {
    type Err = ParseIntError;

    /// Parses the format of [`fmt::Display`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies a database and its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The same number in all epochs of a database. A copy of the database has another number.
    pub database: u64,
    pub epoch: Epoch,
}

/// What the database reported about itself in one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    pub identity: Identity,
    /// When the server process started, in microseconds since the Unix epoch.
    pub server_started_at: i64,
    /// The size of the write-ahead log so far, in bytes; `None` if it is not known, as on a standby.
    pub wal_position: Option<i64>,
}

/// Tracks the identity of the database. All parts that keep rows in memory share it.
#[derive(Debug)]
pub struct IdentityTracker {
    started: Instant,
    /// [`Epoch::number`] of the current epoch. Atomic, because every request reads it.
    epoch: AtomicU64,
    /// Nanoseconds since `started`. Rows that were read before may be outdated, because a connection was lost then.
    valid_since: AtomicU64,
    /// Nanoseconds since `started`. Rows that were read before belong to an earlier epoch.
    epoch_since: AtomicU64,
    last: Mutex<Option<Last>>,
    current: watch::Sender<Option<Identity>>,
    renewal_wanted: AtomicBool,
    renewal: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    observed: Observed,
    received: Instant,
}

impl Default for IdentityTracker {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl IdentityTracker {
    /// A tracker without an identity. Instants before `started` count as `started`.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            epoch: AtomicU64::new(0),
            valid_since: AtomicU64::new(0),
            epoch_since: AtomicU64::new(0),
            last: Mutex::default(),
            current: watch::Sender::new(None),
            renewal_wanted: AtomicBool::new(false),
            renewal: Notify::new(),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        let span = at.saturating_duration_since(self.started);
        u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The current epoch. Callers that combine it with a row must read the epoch first. Then a new row may get the old
    /// epoch, which the next read corrects, but an old row never gets the new epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether the database has answered before.
    pub fn is_known(&self) -> bool {
        self.epoch.load(Ordering::Relaxed) != 0
    }

    /// The current identity; `None` before the first answer of the database.
    pub fn current(&self) -> Option<Identity> {
        *self.current.borrow()
    }

    /// A receiver that is notified when the identity changes.
    pub fn watch(&self) -> watch::Receiver<Option<Identity>> {
        self.current.subscribe()
    }

    /// Whether a row that was read at `at` may still be current: no connection was lost since.
    pub fn is_still_valid(&self, at: Instant) -> bool {
        is_after(self.valid_since.load(Ordering::Acquire), || self.nanos(at))
    }

    /// Whether a row that was read at `at` belongs to the current epoch.
    pub fn knows(&self, at: Instant) -> bool {
        is_after(self.epoch_since.load(Ordering::Acquire), || self.nanos(at))
    }

    /// Notes that a connection timed out, or ended although this process did not close it. The next connection may
    /// reach another server.
    pub fn connection_lost(&self, now: Instant) {
        self.valid_since.fetch_max(self.nanos(now), Ordering::Release);
    }

    /// Notes that a row was older than a version that was known before the query. So the database was reset to an
    /// earlier state.
    pub fn older_row_read(&self, now: Instant) {
        self.connection_lost(now);
        self.want_renewal();
    }

    fn want_renewal(&self) {
        if !self.renewal_wanted.swap(true, Ordering::AcqRel) {
            self.renewal.notify_one();
        }
    }

    /// Whether the database was reset to an earlier state and has no new epoch yet.
    pub fn is_renewal_wanted(&self) -> bool {
        self.renewal_wanted.load(Ordering::Acquire)
    }

    /// Waits until the database was reset to an earlier state and needs a new epoch.
    pub async fn renewal_wanted(&self) {
        self.renewal.notified().await;
    }

    /// Processes an answer of the database that was received at `received`; its query was sent at `sent`. Returns
    /// whether the identity changed. The first identity is not a change.
    pub fn observe(&self, observed: Observed, sent: Instant, received: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *last;
        // If two queries overlapped, it is not known which answer is later.
        let in_order = before.is_none_or(|before| before.received <= sent);
        if !in_order && before.is_some_and(|before| before.observed != observed) {
            return false;
        }
        *last = Some(Last { observed, received });
        let Some(Last { observed: before, .. }) = before else {
            self.epoch.store(observed.identity.epoch.0, Ordering::Release);
            self.current.send_replace(Some(observed.identity));
            return false;
        };
        if before.identity != observed.identity {
            let now = self.nanos(received);
            self.valid_since.fetch_max(now, Ordering::Release);
            self.epoch_since.fetch_max(now, Ordering::Release);
            self.renewal_wanted.store(false, Ordering::Release);
            // Must come after the two stores above; see `epoch`.
            self.epoch.store(observed.identity.epoch.0, Ordering::Release);
            self.current.send_replace(Some(observed.identity));
            return true;
        }
        if before.server_started_at != observed.server_started_at {
            self.connection_lost(received);
        }
        if before.wal_position > observed.wal_position && observed.wal_position.is_some() {
            self.connection_lost(received);
            self.want_renewal();
        }
        false
    }
}

/// Whether `at` is after `since`. If nothing was lost yet, `since` is 0 and `at` is not evaluated, to save time.
fn is_after(since: u64, at: impl FnOnce() -> u64) -> bool {
    since == 0 || at() > since
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FIRST: Identity = Identity { database: 1, epoch: Epoch(10) };

    fn observed(identity: Identity, wal_position: i64) -> Observed {
        Observed { identity, server_started_at: 1, wal_position: Some(wal_position) }
    }

    /// A tracker, and a function that returns the instant a number of milliseconds after its start.
    fn tracker() -> (IdentityTracker, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (IdentityTracker::new(start), move |millis| start + Duration::from_millis(millis))
    }

    #[test]
    fn a_new_epoch_invalidates_everything_that_was_read_before() {
        let (tracker, at) = tracker();
        assert_eq!(tracker.current(), None);
        assert!(!tracker.observe(observed(FIRST, 5), at(0), at(1)));
        assert!(tracker.knows(at(0)) && tracker.is_still_valid(at(0)));
        let second = Identity { epoch: Epoch(11), ..FIRST };
        assert!(tracker.observe(observed(second, 6), at(10), at(11)));
        assert_eq!((tracker.epoch(), tracker.current()), (Epoch(11), Some(second)));
        assert!(!tracker.knows(at(11)) && !tracker.is_still_valid(at(11)));
        assert!(tracker.knows(at(12)) && tracker.is_still_valid(at(12)));
    }

    #[test]
    fn a_lost_connection_or_a_restart_does_not_change_the_epoch() {
        let (tracker, at) = tracker();
        tracker.observe(observed(FIRST, 5), at(0), at(1));
        tracker.connection_lost(at(20));
        assert!(
            !tracker.is_still_valid(at(20))
                && tracker.is_still_valid(at(21))
                && tracker.knows(at(1))
        );
        let restarted = Observed { server_started_at: 2, ..observed(FIRST, 6) };
        assert!(!tracker.observe(restarted, at(30), at(31)));
        assert!(!tracker.is_still_valid(at(31)) && tracker.knows(at(1)));
        assert!(!tracker.is_renewal_wanted());
    }

    #[test]
    fn a_log_position_that_decreased_requests_a_new_epoch() {
        let (tracker, at) = tracker();
        tracker.observe(observed(FIRST, 5), at(0), at(1));
        // This query was sent before the answer above arrived, so its answer may be the older one.
        tracker.observe(observed(FIRST, 4), at(0), at(2));
        assert!(!tracker.is_renewal_wanted() && tracker.is_still_valid(at(1)));
        tracker.observe(observed(FIRST, 4), at(3), at(4));
        assert!(tracker.is_renewal_wanted() && !tracker.is_still_valid(at(4)));
        let second = Identity { epoch: Epoch(11), ..FIRST };
        tracker.observe(observed(second, 4), at(5), at(6));
        assert!(!tracker.is_renewal_wanted());
    }

    #[test]
    fn an_unknown_log_position_does_not_request_a_new_epoch() {
        let (tracker, at) = tracker();
        tracker.observe(observed(FIRST, 5), at(0), at(1));
        tracker.observe(Observed { wal_position: None, ..observed(FIRST, 0) }, at(2), at(3));
        tracker.observe(observed(FIRST, 6), at(4), at(5));
        assert!(!tracker.is_renewal_wanted());
    }
}
