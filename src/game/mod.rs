//! The operations of the game, one in each file. Changes go through a lane. Only the lane and the sweep job write
//! players' rows.
//!
//! # How a batch is written
//!
//! The lane applies requests to rows of the cache, so most batches read nothing. A cached row may be outdated.
//! Therefore it is used only for writes: the statement writes a row only if its revision is unchanged. An answer
//! without a write (a refusal, a repeat) is given only from a row that was read for this batch.
//!
//! Most idempotency keys are new, so the statement that writes also looks the keys up, which saves a query. If it finds
//! a key, it writes nothing for that player, and the next batch reads the stored outcome first. A repeat is answered
//! only from a row that has the same revision as when its record was found: an older row might not contain the effect
//! of the first request.
//!
//! There are three statements, and the cheapest possible one is used: `commit_click.sql` for one player that only
//! clicks, `commit_clicks.sql` for a batch of such players, and `commit.sql` for everything else. The latter two
//! process the batch in the order of `player_id` and find each row by its key. The settings of the lanes' sessions
//! (`sql/queries/lanes/session.sql`) exclude other query plans. So rows are locked in that order, and two instances
//! cannot deadlock.
//!
//! After a connection to Postgres was lost, rows that were read before that are not used: the next connection may lead
//! to another server with another history ([`IdentityTracker`]).
//!
//! If a row violates a constraint, the whole statement is rolled back. The batch is then halved repeatedly until that
//! row fails alone. If the fold of a row panics, only the requests for that row fail.
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

use uuid::Uuid;

pub use export::Export;
pub use request::{Answer, Asked, IdempotencyKey, Request};
pub use state::State;

use crate::cache::Players;
pub use crate::cache::{CacheHandle, PlayerWatcher};
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
    /// The rules of the game refuse the command.
    #[error("refused by the rules")]
    Refused(Refusal),
    #[error("there is no such player")]
    NoSuchPlayer,
    #[error("the player is banned")]
    Banned,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The queue of the lane is full.
    #[error("too many commands are waiting")]
    Overloaded,
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    /// A store is unavailable. It is not known whether the change was made. A repeat with the same key applies it once.
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

/// The operations of the game.
pub struct Game {
    store: Store,
    players: Players,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    lanes: Lanes<Writer>,
    seen: Arc<Seen>,
}

impl Game {
    /// Starts the lane. `supervisor` is notified if it ends unexpectedly.
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

    /// Applies a command and returns after it is committed.
    ///
    /// # Errors
    /// Returns an [`Error`]. Nothing was changed, except that after [`Error::Unavailable`] the change may have been
    /// made.
    pub async fn perform(&self, request: Request) -> Result<Answer, Error> {
        self.lanes.submit(request).await
    }

    /// The state of a player after the command that `answer` belongs to.
    pub fn state_after(&self, answer: &Answer, handle: &CacheHandle) -> State {
        State {
            record: Arc::clone(&answer.record),
            epoch: answer.epoch,
            timeline: Arc::clone(&answer.timeline),
            now: answer.now,
            handle: handle.clone(),
        }
    }

    /// Tells a watcher of changes of a player, until [`Game::unwatch`] is called as often as this.
    pub fn watch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        self.players.watch(player, watcher);
    }

    /// Ends what [`Game::watch`] began.
    pub fn unwatch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        self.players.unwatch(player, watcher);
    }

    /// The current time of the database.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Converts a recent `Instant` to database time.
    pub fn time_at(&self, instant: Instant) -> Timestamp {
        self.clock.at(instant)
    }

    /// Refuses further commands, and returns after all accepted ones are answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }
}
