//! Players in memory: what reads are answered from. In front of Redis, which is in front of Postgres.
//!
//! A row is kept with a time at which it was right. How long it may be served from then on is [`Trust`]'s to say; that
//! nothing older than what was seen is served, `Slot`'s. Whoever changes a player says so here: this instance sees the
//! change at once, the others by an announcement.

mod feed;
mod floors;
mod message;
mod remote;
mod slot;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::sync::Cache;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::health::Health;
use crate::redis_client::Redis;
use crate::store::players::PlayerRecord;
use crate::store::{self, Store};
use crate::telemetry::metrics::{CacheMetrics, Metrics};

pub use trust::Trust;

use feed::Feed;
use floors::Floors;
use message::Change;
use remote::Remote;
use slot::{Floor, GONE, Look, Slot};

/// How long after a row was right it may be served while Postgres is away, so that nothing can change: a minute beyond
/// its time.
const OUTAGE: Duration = Duration::from_secs(90);
/// How long a player that nobody asks for is kept.
const IDLE: Duration = Duration::from_mins(10);
/// Loads in a row that may be overtaken by changes.
const ATTEMPTS: usize = 4;

/// A load that any number of readers wait for.
type Loading = Shared<BoxFuture<'static, Result<(), Arc<store::Error>>>>;

/// What a cache is made of.
pub struct Settings {
    pub store: Store,
    pub redis: Option<Redis>,
    pub clock: Arc<dyn Clock>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    /// Memory for players, in bytes.
    pub capacity: u64,
    /// Nobody else writes the database.
    pub alone: bool,
}

/// A player's place in the cache. Whoever comes back often holds it, and spares the look-up; one that the cache has
/// dropped meanwhile only costs the look-up again.
#[derive(Clone)]
pub struct Seat {
    player: Uuid,
    slot: Arc<Slot>,
}

impl Seat {
    /// Whose it is.
    pub fn player(&self) -> Uuid {
        self.player
    }

    /// As [`Players::base`], where the seat has not been dropped.
    pub fn base(&self) -> Option<Arc<PlayerRecord>> {
        self.slot.base()
    }

    /// Whether it is worth noting that the player is there at `now`, which it is once a second.
    pub fn is_noteworthy(&self, now: Timestamp) -> bool {
        self.slot.is_noteworthy(now)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.player).finish()
    }
}

/// The cache of players. Cheap to clone.
#[derive(Clone)]
pub struct Players(Arc<Inner>);

struct Inner {
    store: Store,
    slots: Cache<Uuid, Arc<Slot>, RandomState>,
    floors: Arc<Floors>,
    trust: Arc<Trust>,
    remote: Option<Remote>,
    feed: Feed,
    health: Arc<Health>,
    metrics: CacheMetrics,
}

impl Players {
    /// An empty cache, which begins to listen for what other instances change. Call it within a runtime.
    pub fn start(settings: Settings) -> Self {
        let Settings { store, redis, clock, health, metrics, capacity, alone } = settings;
        let floors = Arc::new(Floors::default());
        let remembered = Arc::clone(&floors);
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
        let players = Self(Arc::new(Inner {
            store,
            slots,
            floors,
            trust: Arc::new(Trust::new(alone, Instant::now())),
            remote: redis.clone().map(Remote),
            feed: Feed::new(clock),
            health,
            metrics: metrics.players_cache.clone(),
        }));
        if let Some(redis) = redis {
            players.0.feed.start(&players, redis);
        }
        players
    }

    /// Tells the other instances that this one ends, and stops listening.
    pub async fn close(&self) {
        self.0.feed.close().await;
    }

    /// The id that this instance speaks under.
    pub fn instance(&self) -> Uuid {
        self.0.feed.id
    }

    /// Whether what this instance changes may not reach the others, though there is a channel for it.
    pub fn is_silenced(&self) -> bool {
        self.0.remote.is_some() && self.0.trust.is_deaf(Instant::now())
    }

    /// What is known of the announcements.
    pub fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// A player, where it exists, as it is `now` or was a moment ago. Readers of one player at once cause one load.
    ///
    /// # Errors
    /// The store's, where nothing is known that may still be served.
    pub async fn get(
        &self,
        seat: &Seat,
        mut now: Instant,
    ) -> Result<Option<Arc<PlayerRecord>>, Arc<store::Error>> {
        let player = seat.player;
        for _ in 0..ATTEMPTS {
            let found;
            let slot = if seat.slot.is_retired() {
                found = self.slot(player);
                &found
            } else {
                &seat.slot
            };
            let stale = match slot.look(now, &self.0.trust) {
                Look::Fresh(record) => {
                    self.0.metrics.memory_hits.inc();
                    return Ok(record);
                }
                Look::Stale(record, right_at) => {
                    (now.saturating_duration_since(right_at) < OUTAGE).then_some(record)
                }
                Look::Unknown => None,
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

    /// The newest row that is known of a player, to fold commands from. It may be out of date, so only what a guard on
    /// its revision confirms is certain. With it comes where the next row goes.
    pub fn base(&self, player: Uuid) -> Option<(Arc<PlayerRecord>, Seat)> {
        let slot = self.0.slots.get(&player)?;
        Some((slot.base()?, Seat { player, slot }))
    }

    /// A player's place in the cache, be anything known of the player or not.
    pub fn seat(&self, player: Uuid) -> Seat {
        Seat { player, slot: self.slot(player) }
    }

    /// Takes in rows that were committed at `at`, by a statement sent at `sent`, and announces them.
    pub fn committed(
        &self,
        rows: Vec<(Arc<PlayerRecord>, Option<Seat>)>,
        at: Timestamp,
        sent: Instant,
    ) {
        for (record, seat) in &rows {
            let seated = seat.as_ref().is_some_and(|seat| seat.slot.keep(record, sent));
            if !seated {
                self.slot(record.id).keep(record, sent);
            }
        }
        self.announce(at, rows.into_iter().map(|(record, _)| Change::State(record)));
    }

    /// Takes in a row that was read by a statement sent at `sent`.
    pub fn loaded(&self, record: &Arc<PlayerRecord>, sent: Instant) {
        self.slot(record.id).keep(record, sent);
    }

    /// A player is about to be changed by other means than a commit of commands. Once what this returns is dropped,
    /// nothing that was read before is served any more.
    pub fn touch(&self, player: Uuid) -> Touch {
        Touch { players: self.clone(), player, gone: false }
    }

    fn slot(&self, player: Uuid) -> Arc<Slot> {
        self.0.slots.get(&player).unwrap_or_else(|| {
            let new = || Arc::new(Slot::new(self.0.floors.of(player)));
            self.0.slots.get_with(player, new)
        })
    }

    fn raise(&self, player: Uuid, floor: Floor) {
        match self.0.slots.get(&player) {
            Some(slot) => slot.raise(floor),
            None => self.0.floors.raise(player, floor, Instant::now()),
        }
    }

    fn announce(&self, at: Timestamp, changes: impl Iterator<Item = Change>) {
        if self.0.remote.is_some() && self.0.trust.has_company(Instant::now()) {
            self.0.feed.announce(at, changes);
        }
    }

    /// Takes in what another instance changed, as it was `age` ago.
    fn hear(&self, change: Change, age: Duration, now: Instant) {
        match change {
            Change::State(record) => {
                let floor = Floor { revision: record.revision, changed_at: None };
                let slot = self.0.slots.get(&record.id);
                match (slot, now.checked_sub(age)) {
                    (Some(slot), Some(right_at)) if age < trust::DEAF => {
                        slot.put(record, right_at);
                    }
                    _ => self.raise(record.id, floor),
                }
            }
            Change::Touched(player) => {
                self.raise(player, Floor { revision: 0, changed_at: Some(now) });
            }
            Change::Gone(player) => self.raise(player, Floor { revision: GONE, changed_at: None }),
        }
    }

    /// Begins to load a player. It goes on when nobody waits any more, as it holds a connection.
    fn begin_load(&self, player: Uuid, slot: &Arc<Slot>) -> Loading {
        let (players, slot) = (self.clone(), Arc::clone(slot));
        let load = tokio::spawn(async move {
            let loaded = players.load(player, &slot).await;
            slot.loaded();
            // The slot was weighed while it was empty.
            players.0.slots.entry(player).and_compute_with(|held| match held {
                Some(held) if Arc::ptr_eq(held.value(), &slot) => Op::Put(slot),
                _ => Op::Nop,
            });
            loaded
        });
        let ended = |_| Err(Arc::new(store::Error::Unavailable("a load ended".into())));
        load.map(move |loaded| loaded.unwrap_or_else(ended)).boxed().shared()
    }

    async fn load(&self, player: Uuid, slot: &Slot) -> Result<(), Arc<store::Error>> {
        if let Some(remote) = &self.0.remote
            && self.load_remote(remote, player, slot).await
        {
            self.0.metrics.redis_hits.inc();
            return Ok(());
        }
        self.0.metrics.loads.inc();
        let sent = Instant::now();
        match self.0.store.load_player(player).await.map_err(Arc::new)? {
            Some(mut record) => {
                if let Some(before) = slot.base() {
                    record.share_with(&before);
                }
                let record = Arc::new(record);
                slot.put(Arc::clone(&record), sent);
                if let Some(remote) = self.0.remote.clone() {
                    tokio::spawn(async move { remote.put(&record, sent.elapsed()).await });
                }
            }
            None => slot.put_missing(sent),
        }
        Ok(())
    }

    /// Whether Redis held something that may be served.
    async fn load_remote(&self, remote: &Remote, player: Uuid, slot: &Slot) -> bool {
        let asked = Instant::now();
        let Some(held) = remote.get(player).await else { return false };
        let Some(right_at) = asked.checked_sub(held.age) else { return false };
        if !self.0.trust.holds(right_at, Instant::now()) {
            return false;
        }
        let Some(record) = held.record else {
            slot.raise(Floor { revision: GONE, changed_at: None });
            return true;
        };
        slot.put(Arc::new(record), right_at)
    }
}

/// A change of a player by other means than a commit of commands. What was read before it is dropped is not served
/// afterwards, by this instance at once and by the others once they hear of it.
pub struct Touch {
    players: Players,
    player: Uuid,
    gone: bool,
}

impl Touch {
    /// The player was deleted.
    pub fn gone(mut self) {
        self.gone = true;
    }
}

impl Drop for Touch {
    fn drop(&mut self) {
        let Self { players, player, gone } = self;
        let (player, gone) = (*player, *gone);
        let floor = if gone {
            Floor { revision: GONE, changed_at: None }
        } else {
            Floor { revision: 0, changed_at: Some(Instant::now()) }
        };
        players.raise(player, floor);
        let change = if gone { Change::Gone(player) } else { Change::Touched(player) };
        players.announce(players.0.feed.now(), std::iter::once(change));
        if let Some(remote) = players.0.remote.clone()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if gone {
                    remote.put_gone(player).await;
                } else {
                    remote.remove(player).await;
                }
            });
        }
    }
}
