//! Rankings: boards of all players, and seasons with final standings.
//!
//! There are three boards, which rank all players who are not banned: by lifetime energy, by current production, and by
//! the lifetime energy gained in the season. The highest score is first. Of players with equal scores the older one is
//! first (the smaller UUIDv7).
//!
//! Scores are calculated from a player's row and the time, so no write is needed to update them. Each instance records
//! which players it saw or changed ([`Seen`]) and publishes their scores every few seconds if they differ from the last
//! published ones. A periodic rebuild from Postgres updates the scores of all other players.
//!
//! The boards are stored in Redis, which all instances share, or in the memory of the process if there is no Redis or
//! while it is unavailable. Several instances without Redis report changed rows to each other through an unlogged table
//! (`ranking_news`). When Redis becomes available again, its boards are rebuilt, because they lack the changes of the
//! outage.
//!
//! A standing contains the revision of its row and the time of its calculation, and never replaces a standing with a
//! higher pair. Therefore instances may publish the same player in any order, also during a rebuild. Every instance
//! removes banned and deleted players from the boards when it reads the feed of revocations. Their removed state is
//! kept, so that a late publication does not add them again.
//!
//! After a restore or a failover the rows have lower revisions than the standings. [`Rankings::forget_all`] therefore
//! starts a new era: results of the previous era are neither kept nor written, including those of publications and
//! rebuilds that are in progress.

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

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("there is no such player")]
    NoSuchPlayer,
    #[error("there is no such season")]
    NoSuchSeason,
    /// The season has ended, and its final standings do not exist yet.
    #[error("the final standings of the season are not ready yet")]
    Closing,
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The rankings service.
pub struct Rankings {
    /// Identifies this instance.
    instance: Uuid,
    /// Whether no other process writes the database.
    alone: bool,
    metrics: RankingsMetrics,
    store: Store,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    seen: Arc<Seen>,
    shared: Option<Shared>,
    local: Local,
    /// Players whose row must be read again before the next publication, because this or another instance changed it.
    to_reload: Mutex<HashSet<Uuid>>,
    /// The last publication. Locked during a publication.
    published: tokio::sync::Mutex<Published>,
    /// Locked during a rebuild.
    rebuilding: tokio::sync::Mutex<()>,
    /// Notifies the task that rebuilds.
    wanted: Notify,
    /// Boards that were built before this time, in microseconds since the Unix epoch, are incomplete.
    outdated_before: AtomicI64,
    /// The number of demanded rebuilds, and how many of these demands were satisfied by a rebuild that started later.
    demanded: AtomicU64,
    satisfied: AtomicU64,
    /// Incremented by every publication of this instance.
    generation: AtomicU64,
}

/// The boards to which standings are written. It is determined before rows are read. If the database is then reverted
/// to an earlier state, the rows are not written to the boards of the new era, where their higher revisions would win.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Destination {
    /// The era of the boards in memory.
    era: u64,
    /// The keys of the boards in Redis; `None` for the boards in memory.
    keys: Option<Keys>,
}

impl Rankings {
    /// Creates the service with empty boards. `alone` means that no other process writes the database, so that changes
    /// need not be reported.
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
            to_reload: Mutex::default(),
            published: tokio::sync::Mutex::default(),
            rebuilding: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
            outdated_before: AtomicI64::new(i64::MIN),
            demanded: AtomicU64::new(0),
            satisfied: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    /// The players that this instance saw recently.
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Incremented by every publication of this instance. Pages that were read at a lower generation may be outdated.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Applies revocations: the next publication removes players who were banned or deleted from the boards.
    pub fn learn(&self, revocations: &[Revocation]) {
        let of_players = revocations.iter().filter(|it| it.reason != Reason::SessionEnded);
        let players: Vec<Uuid> = of_players.map(|revocation| revocation.subject).collect();
        if !players.is_empty() {
            self.reload_later(players);
        }
    }

    /// Makes the next publication read the rows of these players again. Call it after a change that [`Seen`] does not
    /// record.
    pub fn reload_later(&self, players: impl IntoIterator<Item = Uuid>) {
        self.to_reload.lock().unwrap_or_else(PoisonError::into_inner).extend(players);
    }

    /// Discards everything that this instance knows about players and requests a rebuild. Call it when the database was
    /// reverted to an earlier state by a restore or a failover. Rows may then have lower revisions than the known
    /// standings, so the outdated standings would win.
    ///
    /// The boards in memory are emptied, and publications and rebuilds in progress fail. Boards in Redis are not
    /// changed, because the new epoch has another key prefix; boards with an unchanged prefix are served until the
    /// rebuild has replaced them. Call this after the prefix has changed and the caches have discarded their rows. For
    /// the next half minute, rows that requests record are read again before they are published, because a request may
    /// have read its row before the revert.
    pub fn forget_all(&self) {
        // Start the new era first, so that no old standing is written after the boards were emptied.
        self.local.begin_era();
        self.seen.forget_rows();
        self.to_reload.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.demand_rebuild();
    }

    /// A page of a board.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`].
    pub async fn page(&self, board: Board, offset: usize, limit: usize) -> Result<List, Error> {
        let list = match self.shared_up() {
            Some(shared) => match shared.page(board, offset, limit).await {
                Err(Unavailable::Redis(error)) => {
                    self.local.page(board, offset, limit).map_err(|_| error.into())
                }
                result => result,
            },
            None => self.local.page(board, offset, limit),
        };
        Ok(list.inspect_err(|error| self.note_unavailable(error))?)
    }

    /// A player and up to `around` players on each side.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`] or [`Error::Unavailable`].
    pub async fn surroundings(
        &self,
        board: Board,
        player: Uuid,
        around: usize,
    ) -> Result<Surroundings, Error> {
        if let Some(found) = self.find(board, player, around).await? {
            return Ok(found);
        }
        // The player is new and was not published yet.
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
                Err(Unavailable::Redis(error)) => {
                    self.local.surroundings(board, player, around).map_err(|_| error.into())
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

    /// The boards in Redis, if it is available.
    fn shared_up(&self) -> Option<&Shared> {
        self.shared.as_ref().filter(|shared| shared.is_up())
    }

    /// The boards that are currently used.
    fn destination(&self) -> Destination {
        let era = self.local.era();
        Destination { era, keys: self.shared_up().map(Shared::keys) }
    }

    /// Writes standings to the boards of `destination`, which was determined before the rows were read.
    async fn write(
        &self,
        destination: &Destination,
        now: Timestamp,
        standings: &[Standing],
    ) -> Result<Status, Unavailable> {
        let Destination { era, keys } = destination;
        let publication = Publication { season: Season::at(now), as_of: now, standings };
        let status = match self.shared.as_ref().zip(keys.as_ref()) {
            Some(_) if self.local.era() != *era => return Err(Unavailable::Interrupted),
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

/// Logs that a part of the boards in Redis was lost. Only the first instance that notices it logs it, because it
/// removes the remaining parts or rebuilds the boards.
fn log_damage() {
    tracing::warn!(
        "a part of the rankings in Redis was lost; they are rebuilt. If this repeats, see maxmemory-policy in \
         docs/operations.md"
    );
}
