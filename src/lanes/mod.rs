//! Group commit: queues of requests to change aggregates, each with one writer.
//!
//! An *aggregate* is a row that is changed as a whole and guarded by its revision, such as a player. All requests for an
//! aggregate go to the same lane, so within a process they cannot conflict. While a lane's commit is in flight further
//! requests queue up, and the next commit takes them all: a lone request never waits for a timer, and a busy lane writes
//! large batches.
//!
//! This module knows nothing of the aggregates. It queues, batches, retries and answers; an [`Aggregate`] reads the rows, applies
//! the requests and writes the result.

mod batch;
mod held;
mod queue;
mod reply;
mod retry;

use uuid::Uuid;

use crate::store::{self, Store};

pub use batch::{ALL_OUTDATED, Batch, Group, Settled};
pub use queue::Lanes;
pub use reply::deliver;

/// What a lane writes. A value belongs to one lane and lives on its thread.
pub trait Aggregate: Sized + Send + 'static {
    /// What is asked of one aggregate.
    type Request: Request + Send;
    type Answer: Send + 'static;
    type Error: From<Failure> + Clone + Send + 'static;

    /// The connections of the lane, which it shares with no other.
    fn store(&self) -> &Store;

    /// Reads the rows of a batch, applies its requests in their order, and writes the result in one transaction. Returns an
    /// item for each of [`Batch::groups`], in their order.
    ///
    /// # Errors
    /// [`Failed::Store`] if nothing was written, or if it is not known whether it was; [`Failed::Refused`] if the batch
    /// cannot be applied at all.
    fn attempt(
        &self,
        batch: &Batch<Self>,
        mode: Mode,
    ) -> impl Future<Output = Result<Vec<Settled<Self>>, Failed<Self::Error>>>;

    /// Which of these rows other transactions have locked. Does not wait for locks.
    ///
    /// # Errors
    /// The store's.
    fn locked(
        store: &Store,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<Uuid>, store::Error>> + Send;

    /// Called when the requests of an aggregate are refused because of the store: a copy of the row in memory may be wrong.
    fn invalidate(&self, id: Uuid);
}

/// What is asked of one aggregate.
pub trait Request {
    /// The aggregate's id.
    fn id(&self) -> Uuid;
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From rows in memory. Each is written only if its revision is still the one that the requests were applied to.
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
    /// A fault of this program or of the row.
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
    use super::{Aggregate, Batch, Failed, Failure, Mode, Settled};
    use crate::store::{self, Store};
    use uuid::Uuid;

    /// An aggregate without a store, whose requests are its ids.
    #[derive(Debug)]
    pub(super) struct Nothing;

    impl super::Request for Uuid {
        fn id(&self) -> Uuid {
            *self
        }
    }

    impl Aggregate for Nothing {
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
        ) -> Result<Vec<Settled<Self>>, Failed<Failure>> {
            unreachable!("no lane runs")
        }

        async fn locked(_: &Store, _: &[Uuid]) -> Result<Vec<Uuid>, store::Error> {
            unreachable!("no lane runs")
        }

        fn invalidate(&self, _: Uuid) {}
    }
}
