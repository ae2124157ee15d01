//! The use cases of playing, one in each file. Changes go through a lane, which is the only writer of players' rows
//! besides the sweep.
//!
//! # How a batch is written
//!
//! The lane folds requests onto the rows that the cache keeps, so most batches read nothing. A kept row may be out of
//! date. It is used for a write only, because the revision in the statement's condition detects that. An answer without
//! a write (a refusal, a repeat) is given only from a row that was read for this batch.
//!
//! Most idempotency keys are new, so the statement that writes also looks the keys up, which saves a query. If it finds
//! a key, it writes nothing of that player. The next batch reads the stored outcome first. A repeat is answered only
//! with a row of the revision that was there when its record was found: an older row might lack the effect of the first
//! request.
//!
//! Of three statements the cheapest that suffices is used: `commit_click.sql` for one player that only clicks,
//! `commit_clicks.sql` for a batch of such players, and `commit.sql` for everything else. The latter two walk the batch
//! in the order of `player_id` and find each row by its key. The settings of the lanes' sessions
//! (`sql/queries/lanes/session.sql`) exclude other plans, so rows are locked in that order and two instances cannot
//! deadlock.
//!
//! After a connection to Postgres was lost, rows that were read before are not used ([`IdentityTracker`]: the next
//! connection may lead to another server with another history).
//!
//! A statement that a constraint refuses is rolled back as a whole. The batch is then halved until the row that causes
//! it is alone and fails alone. A row whose fold panics fails alone too, before anything is sent.
//!
//! [`IdentityTracker`]: crate::identity::IdentityTracker

mod attempt;
mod export;
mod fold;
mod fold_context;
mod ledger;

mod presence;
mod request;
mod state;
mod writer;

use std::sync::Arc;
use std::time::Instant;

pub use export::Export;
pub use request::{Answer, Asked, IdempotencyKey, Request};
pub use state::State;

pub use crate::cache::CacheHandle;
use crate::cache::Players;
use crate::catalogue::{Catalogues, Unconfirmed};
use crate::clock::Clock;
use crate::domain::{Refusal, Timestamp};
use crate::lanes::{Failure, Lanes};
use crate::rankings::Seen;
use crate::store::{self, Store};
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;
use writer::Writer;

/// Why a call is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The rules refuse it.
    #[error("refused by the rules")]
    Refused(Refusal),
    #[error("there is no such player")]
    NoSuchPlayer,
    #[error("the player is banned")]
    Banned,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// More commands wait than can be served soon.
    #[error("too many commands are waiting")]
    Overloaded,
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    /// A store is unavailable. It is not known whether a change was made; a repeat with the same key finds out.
    #[error("unavailable: {0}")]
    Unavailable(String),
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Overloaded => Self::Overloaded,
            Failure::Unavailable(cause) => Self::Unavailable(cause),
            Failure::Internal(cause) => Self::Internal(cause),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::from_store(&error)
    }
}

impl Error {
    fn from_store(error: &store::Error) -> Self {
        Failure::from(error).into()
    }
}

/// All use cases of playing.
pub struct Game {
    store: Store,
    players: Players,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    lanes: Lanes<Writer>,
    seen: Arc<Seen>,
}

impl Game {
    /// Wires the parts and starts the lane. `supervisor` is notified if it ends.
    ///
    /// # Errors
    /// Returns an error if the system refuses a thread.
    pub fn start(
        store: Store,
        players: Players,
        clock: Arc<dyn Clock>,
        catalogues: Arc<Catalogues>,
        metrics: Metrics,
        seen: Arc<Seen>,
        supervisor: &Supervisor,
    ) -> Result<Self, Error> {
        let writer = Writer {
            players: players.clone(),
            store: store.for_lane()?,
            catalogues: Arc::clone(&catalogues),
            metrics: metrics.clone(),
            seen: Arc::clone(&seen),
        };
        let lanes = Lanes::start(vec![writer], &metrics, supervisor);
        let lanes = lanes.map_err(|error| Error::Internal(format!("lanes: {error}")))?;
        Ok(Self { store, players, clock, catalogues, lanes, seen })
    }

    /// Applies a command and returns when it is durable.
    ///
    /// # Errors
    /// Returns an [`Error`]. Nothing has changed then, but after [`Error::Unavailable`] that is not certain.
    pub async fn perform(&self, request: Request) -> Result<Answer, Error> {
        self.lanes.submit(request).await
    }

    /// The state of a player after a command.
    pub fn state_after(&self, answer: &Answer, handle: &CacheHandle) -> State {
        State {
            record: Arc::clone(&answer.record),
            epoch: answer.epoch,
            timeline: Arc::clone(&answer.timeline),
            now: answer.now,
            handle: handle.clone(),
        }
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Converts a recent `Instant` to database time.
    pub fn time_at(&self, instant: Instant) -> Timestamp {
        self.clock.at(instant)
    }

    /// Refuses further commands, and returns when all accepted ones are answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }
}
