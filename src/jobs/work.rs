//! A job in the hands of its handler.

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
use crate::rankings::Rankings;
use crate::store::jobs::Lease;
use crate::store::{self, Store, Transaction};

/// All that handlers may reach.
pub struct Parts {
    pub store: Store,
    pub players: Players,
    pub clock: Arc<dyn Clock>,
    pub catalogues: Arc<Catalogues>,
    pub accounts: Arc<Accounts>,
    pub rankings: Arc<Rankings>,
}

/// The progress of a job that walks over players in the order of their ids. It is stored with the job.
#[derive(Serialize, Deserialize)]
pub(super) struct After {
    /// The last player of the steps that are done.
    pub(super) after: Uuid,
}

/// Why an attempt at a job has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    /// Somebody else has the job by now: whatever was to be written is not.
    #[error("the lease was lost")]
    LeaseLost,
    #[error("{0}")]
    Other(String),
}

/// What a handler ends with: the job is done, or handed back.
#[derive(Debug)]
pub struct Finished(());

impl Finished {
    /// What a handler ends with whose last statement has noted by itself that the job is done.
    pub(super) fn by_statement() -> Self {
        Self(())
    }
}

/// A job that runs, and the lease that lets it have an effect.
///
/// A job is one step or several. A step is a transaction from [`Work::begin`] to [`Work::finish`] or [`Work::advance`],
/// which commit it only while the lease holds. A job that is taken over goes on from the last step that was committed.
pub struct Work {
    pub parts: Arc<Parts>,
    /// What it was enqueued with.
    pub arguments: Value,
    pub(super) progress: Option<Value>,
    pub(super) lease: Lease,
    /// Connections for long statements.
    pub(super) store: Store,
    /// Connections for settling in bulk.
    pub(super) sweep_store: Store,
    pub(super) stop: watch::Receiver<bool>,
}

impl Work {
    /// The time.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Connections for statements that may take long, outside of any step: they must have no effect.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The right to finish this job, for statements that ask for it themselves.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// How far an earlier attempt has come, as the last [`Work::advance`] said.
    ///
    /// # Errors
    /// Where it is none of this type.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let progress = self.progress.clone().map(serde_json::from_value).transpose();
        progress.map_err(|error| Error::Other(format!("the job's progress: {error}")))
    }

    /// Whether the process is about to end. A job of several steps hands itself back then.
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

    /// Commits a step with the note of how far the job has come.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], and nothing is committed; else as every statement's.
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

    /// Commits the last step with the note that the job is done.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], and nothing is committed; else as every statement's.
    pub async fn finish(&self, mut step: Transaction) -> Result<Finished, Error> {
        if step.finish_job(self.lease, self.now()).await? {
            step.commit().await?;
            return Ok(Finished(()));
        }
        step.rollback().await?;
        Err(Error::LeaseLost)
    }

    /// Puts the job back for somebody else to go on with at once; it counts as no attempt.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; else as every statement's.
    pub async fn hand_back(&self) -> Result<Finished, Error> {
        let held = self.parts.store.hand_back_job(self.lease).await?;
        if held { Ok(Finished(())) } else { Err(Error::LeaseLost) }
    }
}
