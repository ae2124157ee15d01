//! Group commit: queues of requests to change aggregates, each with one writer.
//!
//! An *aggregate* is a row that is changed as a whole and guarded by its revision, such as a player. All requests for
//! an aggregate go to the same lane, so within a process they cannot conflict. Requests that arrive while a lane's
//! commit is in flight are queued, and the next commit contains them all. So a single request never waits for a timer,
//! and a busy lane writes large batches.
//!
//! This module does not depend on the kind of aggregate. It queues, batches, retries and answers requests. An
//! implementation of [`Aggregate`] reads the rows, applies the requests and writes the result.

mod batch;
mod held;
mod queue;
mod reply;
mod retry;

use uuid::Uuid;

use crate::store::{self, Store};

pub use batch::{ALL_OUTDATED, Batch, Group, GroupResult};
pub use queue::Lanes;
pub use reply::deliver;

/// What a lane writes. Each value belongs to one lane and stays on its thread.
pub trait Aggregate: Sized + Send + 'static {
    /// A request to change one aggregate.
    type Request: Request + Send;
    type Answer: Send + 'static;
    type Error: From<Failure> + Clone + Send + 'static;

    /// The connections of the lane, which it shares with no other.
    fn store(&self) -> &Store;

    /// Reads the rows of a batch, applies its requests in their order, and writes the result in one transaction.
    /// Returns an item for each of [`Batch::groups`], in their order.
    ///
    /// # Errors
    /// Returns [`Failed::Store`] if nothing was written or if that is unknown, and [`Failed::Refused`] if the batch
    /// cannot be applied at all.
    fn attempt(
        &self,
        batch: &Batch<Self>,
        mode: Mode,
    ) -> impl Future<Output = Result<Vec<GroupResult<Self>>, Failed<Self::Error>>>;

    /// Which of these rows other transactions have locked. Does not wait for locks.
    ///
    /// # Errors
    /// Returns the error of the query.
    fn locked(
        store: &Store,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<Uuid>, store::Error>> + Send;

    /// Called when the requests for an aggregate are refused because of an error of the store. A cached copy of the row
    /// may be wrong then.
    fn invalidate(&self, id: Uuid);
}

/// A request to change one aggregate.
pub trait Request {
    /// The aggregate's id.
    fn id(&self) -> Uuid;
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From cached rows. Each row is written only if its revision in the database is still the one that the requests
    /// were applied to.
    Optimistic,
    /// From rows that are read and locked in the transaction.
    Locked,
}

/// Why a whole batch failed.
#[derive(Debug)]
pub enum Failed<E> {
    Store(store::Error),
    /// Every request of the batch gets this error.
    Refused(E),
}

impl<E> From<store::Error> for Failed<E> {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Why a lane refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many requests wait. Nothing was applied.
    Overloaded,
    /// The store did not answer, or a lock was not released in time.
    Unavailable(String),
    /// A bug in this program, or a faulty row.
    Internal(String),
}

impl From<&store::Error> for Failure {
    fn from(error: &store::Error) -> Self {
        if error.is_passing() {
            Self::Unavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }
}

#[cfg(test)]
mod testing {
    use super::{Aggregate, Batch, Failed, Failure, GroupResult, Mode};
    use crate::store::{self, Store};
    use uuid::Uuid;

    /// An aggregate without a store. A request consists of the id only.
    #[derive(Debug)]
    pub(super) struct NoAggregate;

    impl super::Request for Uuid {
        fn id(&self) -> Uuid {
            *self
        }
    }

    impl Aggregate for NoAggregate {
        type Request = Uuid;
        type Answer = ();
        type Error = Failure;

        fn store(&self) -> &Store {
            unreachable!("no lane runs")
        }

        async fn attempt(
            &self,
            _: &Batch<Self>,
            _: Mode,
        ) -> Result<Vec<GroupResult<Self>>, Failed<Failure>> {
            unreachable!("no lane runs")
        }

        async fn locked(_: &Store, _: &[Uuid]) -> Result<Vec<Uuid>, store::Error> {
            unreachable!("no lane runs")
        }

        fn invalidate(&self, _: Uuid) {}
    }
}
