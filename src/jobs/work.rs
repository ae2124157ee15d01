//! The interface of a running job for its handler.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::accounts::Accounts;
use crate::cache::Players;
use crate::catalogue::{Catalogues, Unconfirmed};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::notifications::Notifications;
use crate::rankings::Rankings;
use crate::store::jobs::Lease;
use crate::store::{self, Store, Transaction};

/// The services that handlers use.
pub struct Parts {
    pub store: Store,
    pub players: Players,
    pub clock: Arc<dyn Clock>,
    pub catalogues: Arc<Catalogues>,
    pub accounts: Arc<Accounts>,
    pub rankings: Arc<Rankings>,
    pub notifications: Arc<Notifications>,
}

/// The progress of a job that visits players in the order of their ids. It is stored as JSON with the job.
#[derive(Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last player of the committed steps.
    pub(super) after: Uuid,
}

/// Why an attempt of a job failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    /// Another worker has the job, so this attempt writes nothing more.
    #[error("the lease was lost")]
    LeaseLost,
    #[error("{0}")]
    Other(String),
}

/// Proof that a handler has marked its job as done or requeued it.
#[derive(Debug)]
pub struct Finished(());

impl Finished {
    /// For a handler whose last statement itself has marked the job as done.
    pub(super) fn by_statement() -> Self {
        Self(())
    }
}

/// A running job and its lease.
///
/// A job has one or more steps. A step is a transaction that starts with [`Work::begin`] and ends with [`Work::finish`]
/// or [`Work::advance`], which commit it only while the lease is valid. A job that is taken over continues after the
/// last committed step.
pub struct Work {
    pub parts: Arc<Parts>,
    /// The arguments with which the job was enqueued.
    pub arguments: Value,
    pub(super) progress: Option<Value>,
    pub(super) lease: Lease,
    /// Connections for long statements.
    pub(super) store: Store,
    /// Connections for the sweep, which settles many players in one statement.
    pub(super) sweep_store: Store,
    pub(super) stop: watch::Receiver<bool>,
}

impl Work {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Connections for long-running statements outside a step. These statements must not write.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The lease of this job, for statements that check the lease themselves.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// The progress that the last [`Work::advance`] stored.
    ///
    /// # Errors
    /// Returns an error if the stored progress has another type.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let progress = self.progress.clone().map(serde_json::from_value).transpose();
        progress.map_err(|error| Error::Other(format!("the job's progress: {error}")))
    }

    /// Whether the process is shutting down. A job of several steps must then call [`Work::hand_back`].
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Begins a step.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Ok(self.store.begin().await?)
    }

    /// Commits a step together with the job's progress.
    ///
    /// # Errors
    /// Returns [`Error::LeaseLost`] if the lease is no longer valid; then the step is rolled back. Otherwise returns
    /// the error of the statement.
    pub async fn advance(
        &self,
        mut step: Transaction,
        progress: &impl Serialize,
    ) -> Result<(), Error> {
        let progress = serde_json::to_value(progress);
        let progress = progress.map_err(|error| Error::Other(format!("progress: {error}")))?;
        if step.advance_job(self.lease, &progress).await? {
            return Ok(step.commit().await?);
        }
        step.rollback().await?;
        Err(Error::LeaseLost)
    }

    /// Commits the last step and marks the job as done.
    ///
    /// # Errors
    /// Returns [`Error::LeaseLost`] if the lease is no longer valid; then the step is rolled back. Otherwise returns
    /// the error of the statement.
    pub async fn finish(&self, mut step: Transaction) -> Result<Finished, Error> {
        if step.finish_job(self.lease, self.now()).await? {
            step.commit().await?;
            return Ok(Finished(()));
        }
        step.rollback().await?;
        Err(Error::LeaseLost)
    }

    /// Requeues the job, so that another worker can continue at once. This does not count as an attempt.
    ///
    /// # Errors
    /// Returns [`Error::LeaseLost`], otherwise the error of the statement.
    pub async fn hand_back(&self) -> Result<Finished, Error> {
        let held = self.parts.store.hand_back_job(self.lease).await?;
        if held { Ok(Finished(())) } else { Err(Error::LeaseLost) }
    }
}
