//! The identity of the database that this process uses, and which of the rows that were read are still valid.
//!
//! Several deployments may share a Redis, and a database may be restored or replaced by its standby while Redis and the
//! servers keep what they stored. Two numbers distinguish these cases. *Database* identifies a database and differs
//! between copies of it. *Epoch* changes whenever rows may have gone back to an earlier state.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

/// An epoch of a database. Within an epoch no row goes back to an earlier state. Epochs have no order; only equality is
/// meaningful. Displayed as 16 hexadecimal digits.
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
    /// The same in all epochs of one database. A copy of the database has another number.
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

/// What this process knows about the identity of its database. Shared by everything that keeps rows in memory.
#[derive(Debug)]
pub struct IdentityTracker {
    started: Instant,
    /// [`Epoch::number`] of the present epoch, which every request reads.
    epoch: AtomicU64,
    /// Nanoseconds since `started`. Rows that were read before may be wrong, because a connection was lost since.
    trusted_since: AtomicU64,
    /// Nanoseconds since `started`. Rows that were read before belong to another epoch and are not valid.
    known_since: AtomicU64,
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
            trusted_since: AtomicU64::new(0),
            known_since: AtomicU64::new(0),
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

    /// The present epoch. Read it before the row that it is shown with: a new row may then have the old epoch, which
    /// the next read corrects, but an old row never has the new epoch.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether the database has answered before. Cheap.
    pub fn is_known(&self) -> bool {
        self.epoch.load(Ordering::Relaxed) != 0
    }

    /// The present identity; `None` before the first answer of the database.
    pub fn current(&self) -> Option<Identity> {
        *self.current.borrow()
    }

    /// A receiver that is notified when the identity changes.
    pub fn watch(&self) -> watch::Receiver<Option<Identity>> {
        self.current.subscribe()
    }

    /// Whether a row that was read at `at` may still be right, because no connection was lost since.
    pub fn is_still_valid(&self, at: Instant) -> bool {
        holds_since(self.trusted_since.load(Ordering::Acquire), || self.nanos(at))
    }

    /// Whether a row that was read at `at` belongs to the present epoch.
    pub fn knows(&self, at: Instant) -> bool {
        holds_since(self.known_since.load(Ordering::Acquire), || self.nanos(at))
    }

    /// Notes that a connection ended without this process closing it, or timed out. The next one may lead to another
    /// server.
    pub fn connection_lost(&self, now: Instant) {
        self.trusted_since.fetch_max(self.nanos(now), Ordering::Release);
    }

    /// Notes that a row was older than one that was known before the query: the database went back to an earlier state.
    pub fn row_went_back(&self, now: Instant) {
        self.connection_lost(now);
        self.want_renewal();
    }

    fn want_renewal(&self) {
        if !self.renewal_wanted.swap(true, Ordering::AcqRel) {
            self.renewal.notify_one();
        }
    }

    /// Whether the database went back to an earlier state and has no new epoch yet.
    pub fn is_renewal_wanted(&self) -> bool {
        self.renewal_wanted.load(Ordering::Acquire)
    }

    /// Returns when the database went back to an earlier state, so that it can get a new epoch at once.
    pub async fn renewal_wanted(&self) {
        self.renewal.notified().await;
    }

    /// Adds an answer of the database to a question that was sent at `sent` and received at `received`. Returns whether
    /// the identity changed. The first identity is not a change.
    pub fn observe(&self, observed: Observed, sent: Instant, received: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *last;
        // If two answers overlap, it is not known which one is later.
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
            self.trusted_since.fetch_max(now, Ordering::Release);
            self.known_since.fetch_max(now, Ordering::Release);
            self.renewal_wanted.store(false, Ordering::Release);
            // After the two stores above, as `epoch` requires.
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

/// Whether `at` is not before `since`. Most processes never lose a connection, and `at` is not evaluated then.
fn holds_since(since: u64, at: impl FnOnce() -> u64) -> bool {
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

    /// A tracker, and a function that gives the instant that many milliseconds after its start.
    fn tracker() -> (IdentityTracker, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (IdentityTracker::new(start), move |millis| start + Duration::from_millis(millis))
    }

    #[test]
    fn a_new_epoch_makes_everything_worthless_that_was_read_before() {
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
    fn a_lost_connection_or_a_restart_ends_trust_and_nothing_else() {
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
    fn a_log_that_went_back_asks_for_a_new_epoch_until_there_is_one() {
        let (tracker, at) = tracker();
        tracker.observe(observed(FIRST, 5), at(0), at(1));
        // This question was sent before the answer above arrived, so its answer may be the earlier one.
        tracker.observe(observed(FIRST, 4), at(0), at(2));
        assert!(!tracker.is_renewal_wanted() && tracker.is_still_valid(at(1)));
        tracker.observe(observed(FIRST, 4), at(3), at(4));
        assert!(tracker.is_renewal_wanted() && !tracker.is_still_valid(at(4)));
        let second = Identity { epoch: Epoch(11), ..FIRST };
        tracker.observe(observed(second, 4), at(5), at(6));
        assert!(!tracker.is_renewal_wanted());
    }

    #[test]
    fn a_standby_that_does_not_tell_its_position_did_not_go_back() {
        let (tracker, at) = tracker();
        tracker.observe(observed(FIRST, 5), at(0), at(1));
        tracker.observe(Observed { wal_position: None, ..observed(FIRST, 0) }, at(2), at(3));
        tracker.observe(observed(FIRST, 6), at(4), at(5));
        assert!(!tracker.is_renewal_wanted());
    }
}
