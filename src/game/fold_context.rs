//! When, and under which catalogues, the commands of one attempt are applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store;

/// What the folds of one attempt share.
pub(super) struct FoldContext {
    /// The epoch of the database in which it begins: of any later one the answers would not tell the truth.
    pub(super) epoch: Epoch,
    pub(super) timeline: Arc<Timeline>,
    pub(super) now: Timestamp,
    /// When that was, for rows that are read or written from then on.
    pub(super) begun: Instant,
}

/// How old `now` may be when a batch is sent to be written. A process that was stopped in between folds anew, so that
/// nothing that was played in a season arrives after its final standings were made.
const STALE_AFTER: Duration = Duration::from_secs(10);

impl FoldContext {
    pub(super) fn still_holds(&self) -> Result<(), store::Error> {
        if self.begun.elapsed() < STALE_AFTER {
            return Ok(());
        }
        Err(store::Error::Contention("the batch took too long to fold".into()))
    }
}

#[cfg(test)]
impl FoldContext {
    /// A context so many seconds after the start of the tests' catalogue.
    pub(super) fn testing(seconds: f64) -> Self {
        Self {
            epoch: Epoch::default(),
            timeline: Arc::new(crate::domain::testing::timeline()),
            now: crate::domain::testing::at(seconds),
            begun: Instant::now(),
        }
    }
}
