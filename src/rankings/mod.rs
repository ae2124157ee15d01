//! Rankings: boards on which every player stands, and seasons with their final standings.
//!
//! The boards hold the formula's scores. Each instance publishes those of the players that it saw lately every few
//! seconds; a rebuild from Postgres, now and then, brings those of all others. They are kept in Redis, where all
//! instances share them, and in the process' own memory where there is no Redis, or while it is away.

mod board;
mod local;
mod order;
mod publish;
mod rebuild;
mod redis;
mod seasons;
mod seen;

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

pub use board::{Board, Entry, List, Surroundings, Unavailable};
pub use rebuild::Rebuilt;
pub use seasons::{SeasonOverview, SeasonState, Standings};
pub use seen::Seen;

use crate::catalogue::{Catalogues, Unconfirmed};
use crate::clock::Clock;
use crate::domain::{Season, Timestamp};
use crate::id::random_id;
use crate::redis_client::Redis;
use crate::store::pulse::{Reason, Revocation};
use crate::store::{self, Store};
use crate::telemetry::metrics::RankingsMetrics;
use board::{Publication, Standing, Status};
use local::Local;
use publish::Published;
use redis::{Keys, Shared};

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("there is no such player")]
    NoSuchPlayer,
    #[error("there is no such season")]
    NoSuchSeason,
    /// The season has ended and its final standings are not made yet.
    #[error("the final standings of the season are not ready yet")]
    Closing,
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// All calls about rankings.
pub struct Rankings {
    /// Tells this instance from others.
    instance: Uuid,
    alone: bool,
    metrics: RankingsMetrics,
    store: Store,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    seen: Arc<Seen>,
    shared: Option<Shared>,
    local: Local,
    /// Players whose row has to be looked at: banned, unbanned or deleted, here or elsewhere.
    to_look_at: Mutex<HashSet<Uuid>>,
    /// What was published last; held by whoever publishes.
    published: tokio::sync::Mutex<Published>,
    /// Held by whoever rebuilds.
    rebuilding: tokio::sync::Mutex<()>,
    /// Wakes whoever rebuilds.
    wanted: Notify,
    /// Boards that were built before, in microseconds since the epoch, lack something.
    outdated_before: AtomicI64,
    /// How often a rebuild was demanded, and how many of these demands a rebuild has met that began after them.
    demanded: AtomicU64,
    met: AtomicU64,
    /// Rises with everything that this instance publishes.
    generation: AtomicU64,
}

/// The boards that standings are written to. It is chosen before rows are read, so that standings made from rows of before
/// the database went back do not reach the boards of afterwards, where they would pass for newer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Destination {
    /// The era of the in-process boards.
    era: u64,
    /// The boards in Redis; without them those in process.
    keys: Option<Keys>,
}

impl Rankings {
    /// Wires the parts together; nothing stands on the boards yet. One that is `alone`, as nobody else writes the database,
    /// has nobody to tell its news.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        catalogues: Arc<Catalogues>,
        redis: Option<Redis>,
        alone: bool,
        metrics: RankingsMetrics,
    ) -> Self {
        let identity = Arc::clone(store.identity());
        Self {
            instance: random_id(),
            alone,
            metrics,
            store,
            clock,
            catalogues,
            seen: Arc::default(),
            shared: redis.map(|redis| Shared::new(redis, identity)),
            local: Local::default(),
            to_look_at: Mutex::default(),
            published: tokio::sync::Mutex::default(),
            rebuilding: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            outdated_before: AtomicI64::new(i64::MIN),
            demanded: AtomicU64::new(0),
            met: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    /// Where it is to be noted whom the instance sees.
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// The time that everything is reckoned by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Rises with everything that this instance publishes: what was read of the boards before may be out of date.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes in what the instances were told: who is banned or deleted leaves the boards with the next publication.
    pub fn learn(&self, revocations: &[Revocation]) {
        let of_players = revocations.iter().filter(|it| it.reason != Reason::SessionEnded);
        let players: Vec<Uuid> = of_players.map(|revocation| revocation.subject).collect();
        if !players.is_empty() {
            self.look_at(players);
        }
    }

    /// Has the rows of these players read with the next publication: something other than play has changed them.
    pub fn look_at(&self, players: impl IntoIterator<Item = Uuid>) {
        self.to_look_at.lock().unwrap_or_else(PoisonError::into_inner).extend(players);
    }

    /// Drops all that this instance knows of players and asks for a rebuild. To be called when the database went back in
    /// time, after a restore or a fail-over: rows may have lower revisions than before, so everything that is known would
    /// be taken for newer than what is true.
    ///
    /// The in-process boards are empty afterwards, and publications and rebuilds that are under way come to nothing. Boards in
    /// Redis are not touched: their key prefix is expected to have changed, and boards of the same prefix are served until
    /// the rebuild has replaced them. Call it after the prefix has changed and caches have dropped their rows. Rows that
    /// calls note within the next half minute are read again before they are published, as such a call may have read its row
    /// before.
    pub fn forget_all(&self) {
        // First, so that nothing of before is written after the rest is empty.
        self.local.begin_era();
        self.seen.forget_rows();
        self.to_look_at.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.demand_rebuild();
    }

    /// A part of a board.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn page(&self, board: Board, offset: usize, limit: usize) -> Result<List, Error> {
        let list = match self.shared_up() {
            Some(shared) => match shared.page(board, offset, limit).await {
                Err(Unavailable::Redis(away)) => {
                    self.local.page(board, offset, limit).map_err(|_| away.into())
                }
                result => result,
            },
            None => self.local.page(board, offset, limit),
        };
        Ok(list.inspect_err(|error| self.note_unavailable(error))?)
    }

    /// A player and up to `around` neighbours on each side.
    ///
    /// # Errors
    /// [`Error::NoSuchPlayer`] or [`Error::Unavailable`].
    pub async fn surroundings(
        &self,
        board: Board,
        player: Uuid,
        around: usize,
    ) -> Result<Surroundings, Error> {
        if let Some(found) = self.find(board, player, around).await? {
            return Ok(found);
        }
        // Somebody who has just come, and whom nobody has published yet.
        let destination = self.destination();
        let record = self.store.load_player(player).await?.ok_or(Error::NoSuchPlayer)?;
        let (timeline, now) = (self.catalogues.timeline()?, self.clock.now());
        self.write(&destination, now, &[Standing::of(&record, &timeline, now)]).await?;
        let found = self.find(board, player, around).await?;
        found.ok_or(Error::Unavailable(Unavailable::Incomplete))
    }

    async fn find(
        &self,
        board: Board,
        player: Uuid,
        around: usize,
    ) -> Result<Option<Surroundings>, Error> {
        let found = match self.shared_up() {
            Some(shared) => match shared.surroundings(board, player, around).await {
                Err(Unavailable::Redis(away)) => {
                    self.local.surroundings(board, player, around).map_err(|_| away.into())
                }
                result => result,
            },
            None => self.local.surroundings(board, player, around),
        };
        Ok(found.inspect_err(|error| self.note_unavailable(error))?)
    }

    fn note_unavailable(&self, error: &Unavailable) {
        if matches!(error, Unavailable::Incomplete) {
            self.wanted.notify_one();
        }
    }

    /// The boards in Redis, where it is there.
    fn shared_up(&self) -> Option<&Shared> {
        self.shared.as_ref().filter(|shared| shared.is_up())
    }

    /// The boards in use.
    fn destination(&self) -> Destination {
        let era = self.local.era();
        Destination { era, keys: self.shared_up().map(Shared::keys) }
    }

    /// Writes standings to boards that were chosen before the rows were read.
    async fn write(
        &self,
        destination: &Destination,
        now: Timestamp,
        standings: &[Standing],
    ) -> Result<Status, Unavailable> {
        let Destination { era, keys } = destination;
        let publication = Publication { season: Season::at(now), as_of: now, standings };
        let status = match self.shared.as_ref().zip(keys.as_ref()) {
            Some(_) if self.local.era() != *era => return Err(Unavailable::CutShort),
            Some((shared, keys)) => shared.publish(keys, &publication).await?,
            None => self.local.publish(&publication, *era)?,
        };
        if status.is_damaged {
            log_damage();
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.metrics.published.inc_by(standings.len() as u64);
        Ok(status)
    }
}

/// Says once for each loss, as the first to notice it either removes what is left or rebuilds.
fn log_damage() {
    tracing::warn!(
        "a part of the rankings in Redis was lost; they are rebuilt. If this repeats, see maxmemory-policy in \
         docs/operations.md"
    );
}
