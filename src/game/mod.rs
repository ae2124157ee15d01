//! Playing: one use case a file. Changes go through the lanes, which are the only writers of players' rows.

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
    /// A store is away. Of a change the fate is unknown; a repeat with the same key tells.
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

/// All calls about playing.
pub struct Game {
    store: Store,
    players: Players,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    lanes: Lanes<Writer>,
    seen: Arc<Seen>,
}

impl Game {
    /// Wires the parts together and starts the lanes, whose end `supervisor` notices.
    ///
    /// # Errors
    /// Where the system has no thread left for a lane.
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

    /// Applies a command and answers when it is durable.
    ///
    /// # Errors
    /// As [`Error`] lists. Nothing has changed, but after [`Error::Unavailable`] that is not certain.
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

    /// The time that everything is reckoned by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time that it was at an instant of late.
    pub fn time_at(&self, instant: Instant) -> Timestamp {
        self.clock.at(instant)
    }

    /// Takes no further commands and returns when those taken are answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }
}
