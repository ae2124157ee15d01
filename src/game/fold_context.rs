//! The time and the catalogues under which the commands of one attempt are applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store;

/// What all players of one attempt share.
pub(super) struct FoldContext {
    /// The epoch of the database when the attempt began. Answers must not claim a later one.
    pub(super) epoch: Epoch,
    pub(super) timeline: Arc<Timeline>,
    pub(super) now: Timestamp,
    /// The instant of `now`, for rows that are read or written from then on.
    pub(super) begun: Instant,
}

/// How old `now` may be when a batch is sent to Postgres. A process that was suspended in between applies the commands
/// again, so that no score of a season arrives after its final standings were made.
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
