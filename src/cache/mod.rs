//! The cache of players: memory first, then Redis, then Postgres.
//!
//! Each row is stored with a time at which it was current (`current_at`). [`Freshness`](crate::peers::Freshness)
//! decides how long it may be served after that time. `Slot` ensures that an older row never replaces a newer one. Code
//! that changes a player reports the change here: this instance applies it at once and announces it to the other
//! instances.

mod encoding;
mod invalidation;
mod load;
mod minimum;
mod older_release;
mod page;
mod remote;
mod slot;
mod watch;

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
pub use watch::PlayerWatcher;

use encoding::Change;
use load::Loading;
use minimum::{Admission, Minimum, Minimums, Source, TOMBSTONE};
use remote::Remote;
use slot::{Lookup, Slot};
use watch::Watches;

/// The maximum age of a row that is served while Postgres is unavailable. It is a minute longer than usual, because no
/// row can change during an outage.
const OUTAGE: Duration = Duration::from_secs(90);
/// Entries that were not read for this long are evicted.
const IDLE: Duration = Duration::from_mins(10);
/// The maximum number of attempts of an operation that concurrent changes or evictions can make useless.
const ATTEMPTS: usize = 4;

/// The parameters of [`Players::new`].
pub struct Settings {
    pub store: Store,
    pub redis: Option<Redis>,
    pub peers: Peers,
    pub clock: Arc<dyn Clock>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    /// The maximum memory for cached players, in bytes.
    pub capacity: u64,
}

/// A handle of a player's cache entry. Callers that use the entry often keep the handle to avoid the lookup. If the
/// entry was evicted, the cache looks it up again.
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

    /// The player's rendered state. Returns the stored page if `is_valid` accepts it; otherwise calls `render` and
    /// stores its result.
    ///
    /// # Errors
    /// Returns the error of `render`.
    pub fn page<E>(
        &self,
        is_valid: impl FnOnce(&Page) -> bool,
        render: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        self.slot.page(is_valid, render)
    }

    /// Whether the caller should record the player's presence at `now`. Returns true at most once a second.
    pub fn is_presence_due(&self, now: Timestamp) -> bool {
        self.slot.is_presence_due(now)
    }
}

#[cfg(test)]
impl CacheHandle {
    /// A handle of an entry that is not part of any cache.
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
    watches: Watches,
    identity: Arc<IdentityTracker>,
    clock: Arc<dyn Clock>,
    remote: Option<Remote>,
    peers: Peers,
    changes: Publisher<Change>,
    health: Arc<Health>,
    metrics: CacheMetrics,
}

impl Players {
    /// Creates an empty cache. It announces its changes to `peers` and applies the changes that they announce.
    pub fn new(settings: Settings) -> Self {
        let Settings { store, redis, peers, clock, health, metrics, capacity } = settings;
        let minimums = Arc::new(Minimums::default());
        let minimums_of_evicted = Arc::clone(&minimums);
        let identity = Arc::clone(store.identity());
        let remote = redis.map(|redis| Remote { redis, clock: Arc::clone(&clock) });
        let slots = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, slot: &Arc<Slot>| slot.weight())
            .time_to_idle(IDLE)
            .eviction_listener(move |player: Arc<Uuid>, slot: Arc<Slot>, cause| {
                if cause != RemovalCause::Replaced {
                    minimums_of_evicted.raise(*player, slot.retire(), Instant::now());
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
                watches: Watches::default(),
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

    /// The current epoch of the database. Read it before the row that is shown with it.
    pub fn epoch(&self) -> Epoch {
        self.0.identity.epoch()
    }

    /// The player's row, fresh at `now`; `None` if the player does not exist. Concurrent reads of one player share one
    /// load.
    ///
    /// # Errors
    /// Returns the store's error if the load fails and no cached row may be served.
    pub async fn get(
        &self,
        handle: &CacheHandle,
        mut now: Instant,
    ) -> Result<Option<Arc<PlayerRecord>>, Arc<store::Error>> {
        let (player, called_at) = (handle.player, now);
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
                // The row was read during this call, but the load took longer than a row stays fresh.
                Lookup::Stale(record, current_at)
                    if current_at > called_at && self.0.identity.is_still_valid(current_at) =>
                {
                    return Ok(record);
                }
                Lookup::Stale(record, current_at) => {
                    (now.saturating_duration_since(current_at) < OUTAGE).then_some(record)
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

    /// The latest known row of a player and the handle of its entry, for applying commands. The row may be out of date,
    /// so the commit must check its revision. Pass `handle` if the caller has one, to avoid a lookup.
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

    /// The handle of a player's entry. The entry is created empty if it does not exist.
    pub fn handle(&self, player: Uuid) -> CacheHandle {
        CacheHandle { player, slot: self.slot(player) }
    }

    /// Stores and announces rows that were committed at `at` by a statement that was sent at `sent`.
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
        self.0.watches.changed(rows.iter().map(|(record, _)| record.id));
        let known = self.0.identity.knows(sent);
        self.0.changes.publish(
            at,
            rows.into_iter().map(|(record, _)| {
                // If the epoch changed after the statement was sent, the other instances must reload the row.
                if known { Change::State(record) } else { Change::Touched(record.id) }
            }),
        );
    }

    /// Stores a row that was read by a statement that was sent at `sent`.
    pub fn loaded(&self, record: &Arc<PlayerRecord>, sent: Instant) {
        self.keep(record, sent, Instant::now());
    }

    /// Tells a watcher of changes of a player that become known here, until [`Players::unwatch`] is called as often.
    pub fn watch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        self.0.watches.watch(player, watcher);
    }

    /// Ends what [`Players::watch`] began.
    pub fn unwatch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        self.0.watches.unwatch(player, watcher);
    }

    /// Reports that the outcome of a write based on revision `base` is unknown: Postgres may still execute it. Until a
    /// higher revision is seen, every instance serves the row only for the short time that needs no announcement.
    pub fn outcome_unknown(&self, player: Uuid, base: i64) {
        self.raise(player, Minimum::of_unknown_outcome(base, Instant::now()));
        self.0.changes.publish_now(Change::Unsettled(player, Some(base)));
    }

    fn slot(&self, player: Uuid) -> Arc<Slot> {
        self.0.slots.get(&player).unwrap_or_else(|| {
            let slot =
                self.0.slots.get_with(player, || Arc::new(Slot::new(self.0.minimums.of(player))));
            // Before the slot existed, another thread may have raised the minimum in `minimums` after it was read
            // above. From now on `raise` finds the slot.
            slot.raise(self.0.minimums.of(player));
            slot
        })
    }

    /// Stores a row that was read or written by a statement sent at `sent`, in the player's current slot.
    fn keep(&self, record: &Arc<PlayerRecord>, sent: Instant, now: Instant) {
        for _ in 0..ATTEMPTS {
            if self.put_in(&self.slot(record.id), record, sent, now).is_some() {
                return;
            }
        }
        // Each new slot was evicted before the row could be stored. The row is dropped, but its revision must be kept.
        self.raise(record.id, Minimum::of_revision(record.revision, now));
    }

    /// Stores a row that a statement read or wrote in `slot`. Returns `None` if the slot was evicted.
    fn put_in(
        &self,
        slot: &Slot,
        record: &Arc<PlayerRecord>,
        sent: Instant,
        now: Instant,
    ) -> Option<Admission> {
        let admission = slot.put(Arc::clone(record), sent, Source::Statement, now)?;
        let identity = &self.0.identity;
        // Report the revert only if both rows are of the current epoch: a change of epoch was already handled.
        if let Admission::Reverted { known_at } = admission
            && known_at.is_none_or(|at| identity.knows(at))
            && identity.knows(sent)
        {
            identity.older_row_read(now);
        }
        Some(admission)
    }

    /// Raises a player's minimum revision, in its slot or, if it has none, in `minimums`.
    fn raise(&self, player: Uuid, minimum: Minimum) {
        if self.0.slots.get(&player).is_some_and(|slot| slot.raise(minimum)) {
            return;
        }
        self.0.minimums.raise(player, minimum, Instant::now());
        // A slot that was created between the two steps above may lack the new minimum.
        if let Some(slot) = self.0.slots.get(&player) {
            slot.raise(minimum);
        }
    }

    /// Applies a change that another instance made `age` ago.
    fn receive(&self, change: Change, age: Duration, now: Instant) {
        let player = match &change {
            Change::State(record) => record.id,
            Change::Touched(player) | Change::Deleted(player) | Change::Unsettled(player, _) => {
                *player
            }
        };
        self.apply(change, age, now);
        self.0.watches.changed([player]);
    }

    fn apply(&self, change: Change, age: Duration, now: Instant) {
        match change {
            Change::State(record) => {
                let (player, revision) = (record.id, record.revision);
                let put = || {
                    let current_at = now.checked_sub(age).filter(|_| age < ALWAYS_FRESH)?;
                    let slot = self.0.slots.get(&player)?;
                    slot.put(record, current_at, Source::Elsewhere, now)
                };
                if put().is_none() {
                    self.raise(player, Minimum::of_revision(revision, now));
                }
            }
            Change::Touched(player) => self.raise(player, Minimum::of_change(now)),
            Change::Deleted(player) => self.raise(player, Minimum::of_revision(TOMBSTONE, now)),
            Change::Unsettled(player, base) => {
                let unguarded = || Minimum::of_unguarded_write(now);
                let minimum =
                    base.map_or_else(unguarded, |it| Minimum::of_unknown_outcome(it, now));
                self.raise(player, minimum);
            }
        }
    }
}

#[cfg(test)]
#[path = "players_tests.rs"]
mod tests;
