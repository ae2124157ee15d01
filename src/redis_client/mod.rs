//! Redis: one connection that many callers share, and a breaker that keeps a Redis that is away from costing each of
//! them time. Nothing that is kept there is the truth, so every caller has a way on without it.

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

/// How long one call of a request may take. A request makes two at most, to the limiter and to the cache, and may spend
/// 30 ms on Redis in all.
pub const REQUEST_LIMIT: Duration = Duration::from_millis(15);

/// Failures in a row, with no success among them, that open the breaker once they span [`PATIENCE`]: one slow moment of
/// a busy machine does not.
const FAILURES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(100);

/// Redis did not do what was asked, for the reason told; what came of it is unknown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Away(String);

/// The handle to Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    opener: Opener,
    key_prefix: String,
    /// None while the breaker is open.
    connection: RwLock<Option<Connection>>,
    up: watch::Sender<bool>,
    /// What `up` says, for every request to read.
    is_up: AtomicBool,
    failures: Mutex<Failures>,
    /// Wakes the keeper, which opens a new connection.
    lost: Notify,
    /// The connection was given up as the server refused a command.
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
    /// Begins to connect. A Redis that is away is no error: it is used from when it is there.
    ///
    /// # Errors
    /// Where the address or the certificate cannot be read.
    pub fn start(config: &RedisConfig, metrics: Metrics) -> Result<Self, Away> {
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

    /// Connects once, tries everything that is done with Redis, and tells how long a write took.
    ///
    /// # Errors
    /// Why it cannot be used; which rights are missing, where it is for that.
    pub async fn check(config: &RedisConfig) -> Result<Duration, Away> {
        let connection = keeper::open_by(&Opener::new(config)?, &config.key_prefix).await?;
        let asked = Instant::now();
        keeper::prove(connection, format!("{}probe", config.key_prefix)).await?;
        Ok(asked.elapsed())
    }

    /// Ends the upkeep of the connection; calls fail from then on.
    pub fn close(&self) {
        if let Some(keeper) = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        self.disconnect("closed");
    }

    /// Whether calls are made at all.
    pub fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    /// Changes when calls begin to be made, and when they are no longer.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.up.subscribe()
    }

    /// How fast Redis answered last; nothing where it is away.
    pub fn latency(&self) -> Option<Duration> {
        let latency = Duration::from_micros(self.0.latency_micros.load(Ordering::Relaxed));
        self.is_up().then_some(latency)
    }

    /// A key or channel for what holds in one epoch of the database. Keys that one operation names together share a `{tag}`.
    pub fn key(&self, identity: Identity, name: impl Display) -> String {
        let Identity { database, epoch } = identity;
        format!("{}{database:016x}.{epoch}:{name}", self.0.key_prefix)
    }

    /// A key for what outlives the epochs of a database, as [`Identity::database`] names it.
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
    /// [`Away`], within [`REQUEST_LIMIT`], and at once while the breaker is open.
    pub async fn with<T, F, Fut>(&self, call: F) -> Result<T, Away>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        self.with_limit(REQUEST_LIMIT, call).await
    }

    /// Makes a call that nobody waits for, or somebody for longer.
    ///
    /// # Errors
    /// [`Away`], within `limit`, and at once while the breaker is open.
    pub async fn with_limit<T, F, Fut>(&self, limit: Duration, call: F) -> Result<T, Away>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let Some(connection) = self.connection() else {
            return Err(Away("Redis is away".into()));
        };
        match timeout(limit, call(connection)).await {
            Ok(Ok(value)) => {
                self.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => {
                self.failed(&error);
                Err(Away(describe(&error)))
            }
            Err(_) => {
                self.late();
                Err(Away(format!("no answer within {} ms", limit.as_millis())))
            }
        }
    }

    /// A connection that listens to channels. In a cluster any node hears what is published at any other.
    ///
    /// # Errors
    /// Where none can be opened.
    pub async fn listener(&self) -> Result<PubSub, Away> {
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

/// Whether a key holds something of another type than the command is for.
pub fn is_of_type(error: &RedisError) -> bool {
    // Servers before Redis 7 tell of a script's errors within their own.
    error.code() == Some("WRONGTYPE")
        || error.detail().is_some_and(|detail| detail.contains("WRONGTYPE"))
}

/// Whether an error says that the server, rather than the command, is at fault.
fn is_of_the_server(error: &RedisError) -> bool {
    if is_of_type(error) {
        return false;
    }
    match error.kind() {
        // A script that may not do what it does, as some servers tell it.
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            error.detail().is_some_and(|detail| detail.contains("ACL failure"))
        }
        ErrorKind::Server(
            ServerErrorKind::ExecAbort | ServerErrorKind::NoScript | ServerErrorKind::CrossSlot,
        )
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Parse => false,
        // Out of memory, a disk that cannot be written, a replica, a missing permission, a lost connection.
        _ => true,
    }
}

/// What went wrong, without addresses or what was sent.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        && let Some(detail) = error.detail()
    {
        // Which command, or whether it is for a key or a channel; none is named.
        return format!("NOPERM {detail}");
    }
    error.code().map_or_else(|| error.category().to_owned(), str::to_owned)
}
