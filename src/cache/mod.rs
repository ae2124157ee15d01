//! The cache of players: memory in front of Redis in front of Postgres.
//!
//! A row is stored with a time at which it was right. [`Freshness`](crate::peers::Freshness) decides how long it may be
//! served from then on, and `Slot` that no older row than one that was seen is served. Code that changes a player
//! reports it here: this instance then sees the change at once, and the others receive an announcement.

mod encoding;
mod invalidation;
mod load;
mod minimum;
mod older_release;
mod page;
mod remote;
mod slot;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::health::Health;
use crate::identity::{Epoch, IdentityTracker};
use crate::peers::{ALWAYS_FRESH, Peers, Publisher, Topic};
use crate::redis_client::Redis;
use crate::store::players::PlayerRecord;
use crate::store::{self, Store};
use crate::telemetry::metrics::{CacheMetrics, Metrics};

pub use invalidation::InvalidationGuard;
pub use page::{Basis, Page};

use encoding::Change;
use load::Loading;
use minimum::{Admission, Minimum, Minimums, Source, TOMBSTONE};
use remote::Remote;
use slot::{Lookup, Slot};

/// How old a row may be that is served while Postgres is unavailable, so that it cannot change: a minute more than
/// usual.
const OUTAGE: Duration = Duration::from_secs(90);
/// Entries that were not read for this long are evicted.
const IDLE: Duration = Duration::from_mins(10);
/// How many loads in a row may be overtaken by changes.
const ATTEMPTS: usize = 4;
/// What a cache is built from.
pub struct Settings {
    pub store: Store,
    pub redis: Option<Redis>,
    pub peers: Peers,
    pub clock: Arc<dyn Clock>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    /// Memory for players, in bytes.
    pub capacity: u64,
}

/// A handle of a player's entry. Callers that come back often keep it to avoid the lookup. If the entry was evicted,
/// the handle looks it up again.
#[derive(Clone)]
pub struct CacheHandle {
    player: Uuid,
    slot: Arc<Slot>,
}

impl CacheHandle {
    /// The player's id.
    pub fn player(&self) -> Uuid {
        self.player
    }

    /// The player's rendered state, if one is kept and `holds`; otherwise the one that `render` makes, which is kept.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn page<E>(
        &self,
        holds: impl FnOnce(&Page) -> bool,
        render: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        self.slot.page(holds, render)
    }

    /// Whether the player's presence should be noted at `now`. True once a second.
    pub fn is_noteworthy(&self, now: Timestamp) -> bool {
        self.slot.is_noteworthy(now)
    }
}

#[cfg(test)]
impl CacheHandle {
    /// The handle of an entry that belongs to no cache.
    pub fn testing(player: Uuid) -> Self {
        Self { player, slot: Arc::default() }
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheHandle").field(&self.player).finish()
    }
}

/// The cache of players. Cheap to clone.
#[derive(Clone)]
pub struct Players(Arc<Inner>);

struct Inner {
    store: Store,
    slots: Cache<Uuid, Arc<Slot>, RandomState>,
    minimums: Arc<Minimums>,
    identity: Arc<IdentityTracker>,
    clock: Arc<dyn Clock>,
    remote: Option<Remote>,
    peers: Peers,
    changes: Publisher<Change>,
    health: Arc<Health>,
    metrics: CacheMetrics,
}

impl Players {
    /// An empty cache, which announces its changes to `peers` and applies those that they announce.
    pub fn new(settings: Settings) -> Self {
        let Settings { store, redis, peers, clock, health, metrics, capacity } = settings;
        let minimums = Arc::new(Minimums::default());
        let remembered = Arc::clone(&minimums);
        let identity = Arc::clone(store.identity());
        let remote = redis.map(|redis| Remote { redis, clock: Arc::clone(&clock) });
        let slots = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, slot: &Arc<Slot>| slot.weight())
            .time_to_idle(IDLE)
            .eviction_listener(move |player: Arc<Uuid>, slot: Arc<Slot>, cause| {
                if cause != RemovalCause::Replaced {
                    remembered.raise(*player, slot.retire(), Instant::now());
                }
            })
            .build_with_hasher(RandomState::default());
        Self(Arc::new_cyclic(|players: &Weak<Inner>| {
            let players = Weak::clone(players);
            let receive = move |change, age, now| {
                if let Some(players) = players.upgrade() {
                    Self(players).receive(change, age, now);
                }
            };
            let changes =
                peers.register(Topic::PLAYERS, Box::new(receive), Some(older_release::decode));
            Inner {
                store,
                slots,
                minimums,
                identity,
                clock,
                remote,
                peers,
                changes,
                health,
                metrics: metrics.players_cache.clone(),
            }
        }))
    }

    /// The present epoch of the database. Read it before the row that it is shown with.
    pub fn epoch(&self) -> Epoch {
        self.0.identity.epoch()
    }

    /// A player, if it exists, as it is at `now` or was a moment before. Concurrent reads of one player cause one load.
    ///
    /// # Errors
    /// Returns the store's error if there is no row that may be served.
    pub async fn get(
        &self,
        handle: &CacheHandle,
        mut now: Instant,
    ) -> Result<Option<Arc<PlayerRecord>>, Arc<store::Error>> {
        let (player, asked) = (handle.player, now);
        for _ in 0..ATTEMPTS {
            let found;
            let slot = if handle.slot.is_retired() {
                found = self.slot(player);
                &found
            } else {
                &handle.slot
            };
            let stale = match slot.look_up(now, self.0.peers.freshness()) {
                Lookup::Fresh(record) => {
                    self.0.metrics.memory_hits.inc();
                    return Ok(record);
                }
                // It was read for this call, but slowly.
                Lookup::Stale(record, right_at)
                    if right_at > asked && self.0.identity.is_still_valid(right_at) =>
                {
                    return Ok(record);
                }
                Lookup::Stale(record, right_at) => {
                    (now.saturating_duration_since(right_at) < OUTAGE).then_some(record)
                }
                Lookup::Unknown => None,
            };
            if let Some(record) = &stale
                && self.0.health.database_latency().is_none()
            {
                self.0.metrics.stale.inc();
                return Ok(record.clone());
            }
            let loading = slot.loading(|| self.begin_load(player, slot));
            if let Err(error) = loading.await {
                return match stale {
                    Some(record) if error.is_passing() => {
                        self.0.metrics.stale.inc();
                        Ok(record)
                    }
                    _ => Err(error),
                };
            }
            now = Instant::now();
        }
        Err(Arc::new(store::Error::Contention("a player changes faster than it is read".into())))
    }

    /// The latest known row of a player, for applying commands. It may be out of date, so only a commit that is guarded
    /// by its revision confirms it. Also returns the handle of the entry. `handle` is used if the caller has one.
    pub fn base(
        &self,
        player: Uuid,
        handle: Option<&CacheHandle>,
    ) -> Option<(Arc<PlayerRecord>, CacheHandle)> {
        let identity = &self.0.identity;
        let through_handle =
            handle.and_then(|handle| Some((handle.slot.base(identity)?, handle.clone())));
        through_handle.or_else(|| {
            let slot = self.0.slots.get(&player)?;
            Some((slot.base(identity)?, CacheHandle { player, slot }))
        })
    }

    /// A handle of a player's entry, which may be empty.
    pub fn handle(&self, player: Uuid) -> CacheHandle {
        CacheHandle { player, slot: self.slot(player) }
    }

    /// Stores rows that were committed at `at` by a statement sent at `sent`, and announces them.
    pub fn committed(
        &self,
        rows: Vec<(Arc<PlayerRecord>, Option<CacheHandle>)>,
        at: Timestamp,
        sent: Instant,
    ) {
        let now = Instant::now();
        for (record, handle) in &rows {
            let through_handle =
                handle.as_ref().and_then(|handle| self.put_in(&handle.slot, record, sent, now));
            if through_handle.is_none() {
                self.keep(record, sent, now);
            }
        }
        let known = self.0.identity.knows(sent);
        self.0.changes.publish(
            at,
            rows.into_iter().map(|(record, _)| {
                // If the epoch has changed meanwhile, the other instances must read the row again.
                if known { Change::State(record) } else { Change::Touched(record.id) }
            }),
        );
    }

    /// Stores a row that was read by a statement sent at `sent`.
    pub fn loaded(&self, record: &Arc<PlayerRecord>, sent: Instant) {
        self.keep(record, sent, Instant::now());
    }

    /// Notes that the outcome of a write that was made from revision `base` is unknown: it may still be carried out.
    /// Until a higher revision is seen, no instance serves the row for long.
    pub fn fate_unknown(&self, player: Uuid, base: i64) {
        self.raise(player, Minimum::of_unknown_fate(base, Instant::now()));
        self.0.changes.publish_now(Change::Unsettled(player, Some(base)));
    }

    fn slot(&self, player: Uuid) -> Arc<Slot> {
        self.0.slots.get(&player).unwrap_or_else(|| {
            let slot =
                self.0.slots.get_with(player, || Arc::new(Slot::new(self.0.minimums.of(player))));
            // The minimum may have been raised beside the cache after it was read above, while there was no slot. Later
            // calls of `raise` find the slot.
            slot.raise(self.0.minimums.of(player));
            slot
        })
    }

    /// Stores a row that was read or written by a statement sent at `sent`, in the player's present slot.
    fn keep(&self, record: &Arc<PlayerRecord>, sent: Instant, now: Instant) {
        for _ in 0..ATTEMPTS {
            if self.put_in(&self.slot(record.id), record, sent, now).is_some() {
                return;
            }
        }
        // Slots are evicted as fast as they are created. The row is lost, but its revision must not be.
        self.raise(record.id, Minimum::of_revision(record.revision, now));
    }

    /// Stores a row that a statement read or wrote in a slot; `None` if the slot was evicted.
    fn put_in(
        &self,
        slot: &Slot,
        record: &Arc<PlayerRecord>,
        sent: Instant,
        now: Instant,
    ) -> Option<Admission> {
        let admission = slot.put(Arc::clone(record), sent, Source::Statement, now)?;
        let identity = &self.0.identity;
        // Rows of the previous epoch have gone back too, which is known already.
        if let Admission::WentBack { known_at } = admission
            && known_at.is_none_or(|at| identity.knows(at))
            && identity.knows(sent)
        {
            identity.older_row_read(now);
        }
        Some(admission)
    }

    /// Raises a player's minimum revision, in its slot or else beside the cache.
    fn raise(&self, player: Uuid, minimum: Minimum) {
        if self.0.slots.get(&player).is_some_and(|slot| slot.raise(minimum)) {
            return;
        }
        self.0.minimums.raise(player, minimum, Instant::now());
        // A slot that was created in between may not have it.
        if let Some(slot) = self.0.slots.get(&player) {
            slot.raise(minimum);
        }
    }

    /// Applies a change by another instance that is `age` old.
    fn receive(&self, change: Change, age: Duration, now: Instant) {
        match change {
            Change::State(record) => {
                let (player, revision) = (record.id, record.revision);
                let put = || {
                    let right_at = now.checked_sub(age).filter(|_| age < ALWAYS_FRESH)?;
                    let slot = self.0.slots.get(&player)?;
                    slot.put(record, right_at, Source::Elsewhere, now)
                };
                if put().is_none() {
                    self.raise(player, Minimum::of_revision(revision, now));
                }
            }
            Change::Touched(player) => self.raise(player, Minimum::of_change(now)),
            Change::Deleted(player) => self.raise(player, Minimum::of_revision(TOMBSTONE, now)),
            Change::Unsettled(player, base) => {
                let unguarded = || Minimum::of_unguarded_fate(now);
                let minimum = base.map_or_else(unguarded, |it| Minimum::of_unknown_fate(it, now));
                self.raise(player, minimum);
            }
        }
    }
}

#[cfg(test)]
#[path = "players_tests.rs"]
mod tests;
