//! The time and the catalogues under which the commands of one attempt are applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store;

/// What the folds of one attempt have in common.
pub(super) struct FoldContext {
    /// The epoch of the database when the attempt began. Answers contain this one, even if a later one has begun.
    pub(super) epoch: Epoch,
    pub(super) timeline: Arc<Timeline>,
    pub(super) now: Timestamp,
    /// The monotonic time of `now`. Rows that the attempt reads or writes are known to be current at this instant.
    pub(super) begun: Instant,
}

/// How old `now` may be when a batch is sent to Postgres. If the process was suspended in between, the commands are
/// applied again with the new time. Otherwise a score could be written for a season whose final standings exist.
const STALE_AFTER: Duration = Duration::from_secs(10);

impl FoldContext {
    /// Returns an error if `now` is older than [`STALE_AFTER`]; the batch is then attempted again.
    pub(super) fn check_not_stale(&self) -> Result<(), store::Error> {
        if self.begun.elapsed() < STALE_AFTER {
            return Ok(());
        }
        Err(store::Error::Contention("the batch took too long to fold".into()))
    }
}

#[cfg(test)]
impl FoldContext {
    /// A context `seconds` after the start of the tests.
    pub(super) fn testing(seconds: f64) -> Self {
        Self {
            epoch: Epoch::default(),
            timeline: Arc::new(crate::domain::testing::timeline()),
            now: crate::domain::testing::at(seconds),
            begun: Instant::now(),
        }
    }
}
