//! Redis: one connection that many callers share, and a circuit breaker, so that calls do not wait for an unavailable
//! Redis. Redis never has the only copy of any data, so every caller can continue without it.
//!
//! A call that a request waits for has a time-out of 15 ms. A lost connection, refused writes, or three time-outs in a
//! row over at least 100 ms open the breaker: calls then fail at once, and a task tries to reconnect four times a
//! second. Before the breaker closes, every command that the server uses is tried (`rights`). If Redis then refuses a
//! command within ten seconds, the pause before the next attempt grows.
//!
//! Sentinel is not supported, because managed services hide their failover behind one address, and operators of several
//! servers can use Cluster.

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

/// Time-out of one call of a request. A request makes at most two calls, for the limiter and for the cache, so it waits
/// at most 30 ms for Redis.
pub const REQUEST_LIMIT: Duration = Duration::from_millis(15);

/// This many time-outs in a row open the circuit breaker if they span [`MIN_FAILURE_SPAN`]. One short delay on a busy
/// machine does not open it.
const FAILURES: u32 = 3;
const MIN_FAILURE_SPAN: Duration = Duration::from_millis(100);

/// Redis did not run a command, or it is not known whether it did. Contains the reason.
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
    /// A copy of `up` that is cheaper to read, because every request reads it.
    is_up: AtomicBool,
    failures: Mutex<Failures>,
    /// Wakes the task that opens a new connection.
    lost: Notify,
    /// Whether the connection was closed because the server refused a command.
    refused: AtomicBool,
    latency_micros: AtomicU64,
    metrics: Metrics,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// Time-outs since the last success.
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
    /// Starts a task that connects. An unavailable Redis is not an error; it is used as soon as it is available.
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

    /// Connects once, checks all rights, and returns the duration of a write.
    ///
    /// # Errors
    /// Returns an error that names the reason, such as missing rights, if Redis cannot be used.
    pub async fn check(config: &RedisConfig) -> Result<Duration, Unavailable> {
        let connection = keeper::open_by(&Opener::new(config)?, &config.key_prefix).await?;
        let asked = Instant::now();
        keeper::check_write(connection, format!("{}probe", config.key_prefix)).await?;
        Ok(asked.elapsed())
    }

    /// Closes the connection and stops reconnecting. Later calls fail.
    pub fn close(&self) {
        if let Some(keeper) = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        self.disconnect("closed");
    }

    /// Whether the circuit breaker is closed, so that calls are sent.
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

    /// A key or channel that belongs to one epoch of the database. Keys that one operation uses together must contain
    /// the same `{hash tag}`, so that a cluster keeps them on one node.
    pub fn key(&self, identity: Identity, name: impl Display) -> String {
        let Identity { database, epoch } = identity;
        format!("{}{database:016x}.{epoch}:{name}", self.0.key_prefix)
    }

    /// A key that is the same in all epochs of a database. `database` is [`Identity::database`].
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

    /// Makes a call with another time-out, for example one that no request waits for.
    ///
    /// # Errors
    /// Returns an error within `limit`, and at once while the circuit breaker is open.
    pub async fn with_limit<T, F, Fut>(&self, limit: Duration, call: F) -> Result<T, Unavailable>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let Some(connection) = self.connection() else {
            return Err(Unavailable("Redis is unavailable".into()));
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
                self.timed_out();
                Err(Unavailable(format!("no answer within {} ms", limit.as_millis())))
            }
        }
    }

    /// A connection for subscriptions. In a cluster one node is enough, because nodes forward messages to each other.
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
        if is_server_failure(error) {
            let refused = !error.is_io_error() && !error.is_connection_dropped();
            self.0.refused.fetch_or(refused, Ordering::Relaxed);
            self.disconnect(&describe(error));
        } else if is_wrong_type(error) {
            tracing::warn!("a key in Redis has an unexpected type and is replaced");
        } else {
            tracing::error!(error = describe(error), "Redis refused a command");
        }
    }

    fn timed_out(&self) {
        self.0.metrics.redis_failures.inc();
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.count += 1;
        let first = *failures.first.get_or_insert_with(Instant::now);
        let open = failures.count >= FAILURES && first.elapsed() >= MIN_FAILURE_SPAN;
        drop(failures);
        if open {
            self.disconnect("no answers in time");
        }
    }
}

/// Whether the error says that a key does not have the type that the command needs.
pub fn is_wrong_type(error: &RedisError) -> bool {
    // Servers before Redis 7 report an error in a script as the detail of another error.
    error.code() == Some("WRONGTYPE")
        || error.detail().is_some_and(|detail| detail.contains("WRONGTYPE"))
}

/// Whether the error concerns the server and not only the command.
fn is_server_failure(error: &RedisError) -> bool {
    if is_wrong_type(error) {
        return false;
    }
    match error.kind() {
        // Some servers report missing rights in a script in this form.
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

/// The error without addresses, keys and values.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        && let Some(detail) = error.detail()
    {
        // The detail contains the denied command, or the word key or channel, but no name of a key or channel.
        return format!("NOPERM {detail}");
    }
    error.code().map_or_else(|| error.category().to_owned(), str::to_owned)
}
