//! Messages between the instances of a deployment over a Redis channel, and whether messages may have been lost.
//!
//! A module that exchanges data with its peers registers a [`Topic`]. It gets a [`Publisher`], which queues items
//! without blocking. Its handler is called with the items of other instances. Delivery is at most once. [`Freshness`]
//! tells whether an item may have been lost; a cache then serves its entries for a shorter time.
//!
//! An instance that cannot announce its changes over the channel writes a row to the table `silences` of the database.
//! While there is such a row, all other instances serve rows for one second only.

mod channel;
mod freshness;
mod message;
mod older_release;
mod outbox;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::Clock;
use crate::id::random_id;
use crate::identity::IdentityTracker;
use crate::redis_client::Redis;

pub use freshness::{ALWAYS_FRESH, Freshness};
pub use message::Topic;
pub use outbox::Publisher;

use outbox::{Outbox, Queue};

/// How long the row in `silences` is valid if this instance may soon be able to announce again. It equals the time for
/// which other instances respect a row that they have seen.
const BRIEF_SILENCE: Duration = Duration::from_secs(3);
/// How long the row is valid if this instance never announces, and how often it is renewed.
const LASTING_SILENCE: Duration = Duration::from_secs(30);
const SILENCE_INTERVAL: Duration = Duration::from_secs(10);

/// The other instances of this deployment. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    /// Identifies this instance. A random id, because two processes could make the same time-ordered one.
    id: Uuid,
    clock: Arc<dyn Clock>,
    identity: Arc<IdentityTracker>,
    redis: Option<Redis>,
    freshness: Arc<Freshness>,
    subscriptions: Mutex<Vec<Arc<dyn Subscription>>>,
    /// Notified when an outbox contains new items, to wake the publishing task.
    filled: Arc<Notify>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// When this instance last wrote its row in `silences`.
    silence_noted_at: Mutex<Option<Instant>>,
}

/// A registered topic with any type of items.
trait Subscription: Send + Sync {
    fn topic(&self) -> Topic;
    /// Handles a message. Returns false if its items cannot be decoded.
    fn receive(&self, items: &[u8], age: Duration, now: Instant) -> bool;
    /// Like `receive`, for a message in the format of the older release.
    fn receive_older(&self, items: &[u8], now: Instant) -> bool;
    fn queue(&self) -> &dyn Queue;
}

/// A topic with its type of items.
struct Registered<T> {
    topic: Topic,
    outbox: Arc<Outbox<T>>,
    handler: Handler<T>,
    decode_older: Option<OlderDecoder<T>>,
}

/// Called with an item of another instance, its age, and the time at which it arrived.
pub type Handler<T> = Box<dyn Fn(T, Duration, Instant) + Send + Sync>;

/// Decodes the items of a message in the format of the older release; `None` if they cannot be decoded.
pub type OlderDecoder<T> = fn(&[u8]) -> Option<Vec<T>>;

impl<T: message::Item> Subscription for Registered<T> {
    fn topic(&self) -> Topic {
        self.topic
    }

    fn receive(&self, items: &[u8], age: Duration, now: Instant) -> bool {
        let Some(items) = message::decode_items(items) else { return false };
        for item in items {
            (self.handler)(item, age, now);
        }
        true
    }

    fn receive_older(&self, items: &[u8], now: Instant) -> bool {
        let Some(items) = self.decode_older.and_then(|decode| decode(items)) else { return false };
        for item in items {
            (self.handler)(item, Duration::ZERO, now);
        }
        true
    }

    fn queue(&self) -> &dyn Queue {
        &*self.outbox
    }
}

impl Peers {
    /// This instance, not yet connected to any other. Without `redis` it never connects. `only_writer` means that no
    /// other process writes to the database, so that nothing needs to be announced.
    pub fn new(
        redis: Option<Redis>,
        clock: Arc<dyn Clock>,
        identity: Arc<IdentityTracker>,
        only_writer: bool,
    ) -> Self {
        let freshness = Freshness::new(only_writer, Instant::now(), Arc::clone(&identity));
        Self(Arc::new(Inner {
            id: random_id(),
            clock,
            identity,
            redis,
            freshness: Arc::new(freshness),
            subscriptions: Mutex::default(),
            filled: Arc::default(),
            tasks: Mutex::default(),
            silence_noted_at: Mutex::default(),
        }))
    }

    /// Registers a topic. Call it before [`Peers::start`]. `handler` must not block.
    pub fn register<T: message::Item>(
        &self,
        topic: Topic,
        handler: Handler<T>,
        decode_older: Option<OlderDecoder<T>>,
    ) -> Publisher<T> {
        let outbox = Arc::new(Outbox::new(Arc::clone(&self.0.filled)));
        let registered = Registered { topic, outbox: Arc::clone(&outbox), handler, decode_older };
        self.0.subscriptions().push(Arc::new(registered));
        Publisher::new(self.clone(), outbox)
    }

    /// Connects to the other instances in the background. Call it within a Tokio runtime.
    pub fn start(&self) {
        let Some(redis) = self.0.redis.clone() else { return };
        let subscriptions: Arc<[_]> = self.0.subscriptions().clone().into();
        let tasks = channel::start(self, &redis, &subscriptions);
        *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
    }

    /// Announces to the other instances that this one shuts down, and disconnects.
    pub async fn close(&self) {
        let tasks =
            std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in &tasks {
            task.abort();
        }
        self.0.subscriptions().clear();
        if let Some(redis) = self.0.redis.as_ref().filter(|_| !tasks.is_empty()) {
            channel::announce_shutdown(self, redis).await;
        }
    }

    /// The id by which peers know this instance.
    pub fn instance(&self) -> Uuid {
        self.0.id
    }

    /// Tells how long rows that were read may be served.
    pub fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// If this instance has to write its row in `silences` now, how long the row is to be valid; otherwise `None`. An
    /// instance without Redis never announces, so it writes a long validity at long intervals.
    pub fn silence_to_note(&self) -> Option<Duration> {
        let (now, freshness) = (Instant::now(), &self.0.freshness);
        if self.0.redis.is_some() {
            let is_silent = freshness.is_disconnected(now) || freshness.has_older_peers(now);
            return is_silent.then_some(BRIEF_SILENCE);
        }
        if freshness.is_only_writer() {
            return None;
        }
        let mut noted_at = self.0.silence_noted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = noted_at.is_some_and(|at| now.duration_since(at) < SILENCE_INTERVAL);
        (!noted).then(|| {
            *noted_at = Some(now);
            LASTING_SILENCE
        })
    }

    /// Makes [`Peers::silence_to_note`] request the row again. Call it if writing the row failed, or if the database
    /// was replaced.
    pub fn forget_silence(&self) {
        *self.0.silence_noted_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether there may be another instance that needs to receive the changes of this one.
    fn is_publishing(&self) -> bool {
        self.0.redis.is_some() && self.0.freshness.has_peers(Instant::now())
    }
}

impl Inner {
    fn subscriptions(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Subscription>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peers").field(&self.0.id).finish()
    }
}
