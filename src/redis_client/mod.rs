//! Redis: one connection that many callers share, and a circuit breaker, so that an unavailable Redis does not cost
//! each of them time. Redis never has the only copy of anything, so every caller can continue without it.
//!
//! A call that a request waits for has 15 ms. A lost connection, refused writes, or answers that are late by a tenth of
//! a second open the breaker: calls then fail at once, and a task reconnects four times a second. Before the breaker
//! closes, every command that the server uses is tried (`rights`). A Redis that refuses something within ten seconds
//! after that is retried less often each time.
//!
//! Sentinel is not supported: managed services hide their failover behind one address, and operators of several servers
//! have Cluster.

mod connection;
mod keeper;
mod rights;
mod span;
#[cfg(test)]
pub mod testing;

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::PubSub;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::RedisConfig;
use crate::identity::Identity;
use crate::telemetry::metrics::Metrics;

pub use connection::Connection;
use connection::Opener;

/// Time-out of one call of a request. A request makes at most two calls, to the limiter and to the cache, and may spend
/// 30 ms on Redis in all.
pub const REQUEST_LIMIT: Duration = Duration::from_millis(15);

/// Failures in a row that open the circuit breaker if they span [`PATIENCE`]. One slow moment of a busy machine does
/// not open it.
const FAILURES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(100);

/// Redis did not carry out a command, for the given reason, or it is not known whether it did.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(String);

/// The handle to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    opener: Opener,
    key_prefix: String,
    /// `None` while the circuit breaker is open.
    connection: RwLock<Option<Connection>>,
    up: watch::Sender<bool>,
    /// The value of `up`, which every request reads.
    is_up: AtomicBool,
    failures: Mutex<Failures>,
    /// Wakes the task that opens a new connection.
    lost: Notify,
    /// The connection was closed because the server refused a command.
    refused: AtomicBool,
    latency_micros: AtomicU64,
    metrics: Metrics,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// Failures since the last success.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    first: Option<Instant>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("up", &self.is_up()).finish()
    }
}

impl Redis {
    /// Begins to connect. An unavailable Redis is not an error; it is used as soon as it is available.
    ///
    /// # Errors
    /// Returns an error if the address or the certificate cannot be parsed.
    pub fn start(config: &RedisConfig, metrics: Metrics) -> Result<Self, Unavailable> {
        let opener = Opener::new(config)?;
        let redis = Self(Arc::new(Inner {
            opener,
            key_prefix: config.key_prefix.clone(),
            connection: RwLock::new(None),
            up: watch::Sender::new(false),
            is_up: AtomicBool::new(false),
            failures: Mutex::default(),
            lost: Notify::new(),
            refused: AtomicBool::new(false),
            latency_micros: AtomicU64::new(0),
            metrics,
            keeper: Mutex::new(None),
        }));
        let keeper = tokio::spawn(keeper::keep(redis.clone()));
        *redis.0.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(redis)
    }

    /// Connects once, checks all rights, and returns how long a write took.
    ///
    /// # Errors
    /// Returns why Redis cannot be used, including missing rights.
    pub async fn check(config: &RedisConfig) -> Result<Duration, Unavailable> {
        let connection = keeper::open_by(&Opener::new(config)?, &config.key_prefix).await?;
        let asked = Instant::now();
        keeper::prove(connection, format!("{}probe", config.key_prefix)).await?;
        Ok(asked.elapsed())
    }

    /// Stops keeping the connection. Later calls fail.
    pub fn close(&self) {
        if let Some(keeper) = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        self.disconnect("closed");
    }

    /// Whether calls are sent.
    pub fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    /// A receiver that is notified when Redis becomes available or unavailable.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.up.subscribe()
    }

    /// Redis' last response time; `None` while it is unavailable.
    pub fn latency(&self) -> Option<Duration> {
        let latency = Duration::from_micros(self.0.latency_micros.load(Ordering::Relaxed));
        self.is_up().then_some(latency)
    }

    /// A key or channel that belongs to one epoch of the database. Keys that one operation uses together share a
    /// `{tag}`.
    pub fn key(&self, identity: Identity, name: impl Display) -> String {
        let Identity { database, epoch } = identity;
        format!("{}{database:016x}.{epoch}:{name}", self.0.key_prefix)
    }

    /// A key that outlives the epochs of a database. `database` is [`Identity::database`].
    pub fn lasting_key(&self, database: u64, name: impl Display) -> String {
        format!("{}{database:016x}:{name}", self.0.key_prefix)
    }

    /// A key or channel that all databases share.
    pub fn common_key(&self, name: impl Display) -> String {
        format!("{}{name}", self.0.key_prefix)
    }

    /// Makes a call that a request waits for.
    ///
    /// # Errors
    /// Returns an error within [`REQUEST_LIMIT`], and at once while the circuit breaker is open.
    pub async fn with<T, F, Fut>(&self, call: F) -> Result<T, Unavailable>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        self.with_limit(REQUEST_LIMIT, call).await
    }

    /// Makes a call that no request waits for, or one with a longer time-out.
    ///
    /// # Errors
    /// Returns an error within `limit`, and at once while the circuit breaker is open.
    pub async fn with_limit<T, F, Fut>(&self, limit: Duration, call: F) -> Result<T, Unavailable>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let Some(connection) = self.connection() else {
            return Err(Unavailable("Redis is away".into()));
        };
        match timeout(limit, call(connection)).await {
            Ok(Ok(value)) => {
                self.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => {
                self.failed(&error);
                Err(Unavailable(describe(&error)))
            }
            Err(_) => {
                self.late();
                Err(Unavailable(format!("no answer within {} ms", limit.as_millis())))
            }
        }
    }

    /// A connection for subscriptions. In a cluster, any node receives what is published to any other.
    ///
    /// # Errors
    /// Returns an error if none can be opened.
    pub async fn listener(&self) -> Result<PubSub, Unavailable> {
        self.0.opener.listener().await
    }

    fn connection(&self) -> Option<Connection> {
        self.0.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn connect(&self, connection: Connection) {
        *self.0.failures.lock().unwrap_or_else(PoisonError::into_inner) = Failures::default();
        *self.0.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        self.0.is_up.store(true, Ordering::Relaxed);
        if !self.0.up.send_replace(true) {
            tracing::info!("Redis is available");
        }
        self.0.metrics.redis_up.set(1);
    }

    fn disconnect(&self, reason: &str) {
        self.0.connection.write().unwrap_or_else(PoisonError::into_inner).take();
        self.0.is_up.store(false, Ordering::Relaxed);
        if self.0.up.send_replace(false) {
            tracing::warn!(reason, "Redis is unavailable; the server continues without it");
            self.0.metrics.redis_breaker_opened.inc();
        }
        self.0.metrics.redis_up.set(0);
        self.0.lost.notify_one();
    }

    fn succeeded(&self) {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.count > 0 {
            *failures = Failures::default();
        }
    }

    fn failed(&self, error: &RedisError) {
        self.0.metrics.redis_failures.inc();
        if is_of_the_server(error) {
            let refused = !error.is_io_error() && !error.is_connection_dropped();
            self.0.refused.fetch_or(refused, Ordering::Relaxed);
            self.disconnect(&describe(error));
        } else if is_of_type(error) {
            tracing::warn!("a key in Redis had another type and is replaced");
        } else {
            tracing::error!(error = describe(error), "Redis refused a command");
        }
    }

    fn late(&self) {
        self.0.metrics.redis_failures.inc();
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.count += 1;
        let first = *failures.first.get_or_insert_with(Instant::now);
        let open = failures.count >= FAILURES && first.elapsed() >= PATIENCE;
        drop(failures);
        if open {
            self.disconnect("it does not answer in time");
        }
    }
}

/// Whether a key has another type than the command needs.
pub fn is_of_type(error: &RedisError) -> bool {
    // Servers before Redis 7 report a script's errors inside of their own.
    error.code() == Some("WRONGTYPE")
        || error.detail().is_some_and(|detail| detail.contains("WRONGTYPE"))
}

/// Whether the server has failed and not just the command.
fn is_of_the_server(error: &RedisError) -> bool {
    if is_of_type(error) {
        return false;
    }
    match error.kind() {
        // Some servers report a script without the required rights in this way.
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            error.detail().is_some_and(|detail| detail.contains("ACL failure"))
        }
        ErrorKind::Server(
            ServerErrorKind::ExecAbort | ServerErrorKind::NoScript | ServerErrorKind::CrossSlot,
        )
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Parse => false,
        // Out of memory, a disk error, a replica, a missing right, or a lost connection.
        _ => true,
    }
}

/// The error without addresses and without what was sent.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        && let Some(detail) = error.detail()
    {
        // Names the command, or whether a key or a channel is denied, but not the key or channel.
        return format!("NOPERM {detail}");
    }
    error.code().map_or_else(|| error.category().to_owned(), str::to_owned)
}
