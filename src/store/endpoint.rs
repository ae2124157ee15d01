//! The address of Postgres, and how connections to it are opened and checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, Pool, QueueMode,
    RecyclingMethod, Timeouts,
};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::Error;
use super::pool::StoreOptions;
use super::tls::{self, Identity};
use crate::identity::IdentityTracker;

/// The address of Postgres.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub connection: tokio_postgres::Config,
    /// What the server's certificate must prove, if `connection` requires TLS.
    pub identity: Identity,
    /// The trusted certificate authorities in PEM format; `None` for the public ones.
    pub authorities: Option<Arc<[u8]>>,
    /// Whether connections lead to a pooler in transaction mode. Then neither settings nor prepared statements last
    /// longer than a transaction.
    pub pooled: bool,
}

/// An endpoint without a pooler.
impl From<tokio_postgres::Config> for Endpoint {
    fn from(connection: tokio_postgres::Config) -> Self {
        Self { connection, identity: Identity::Name, authorities: None, pooled: false }
    }
}

/// A connection that was idle for this long is pinged before its next use. Databases that are suspended close idle
/// connections, and firewalls drop them, in some cases without notifying the client.
const PING_AFTER_IDLE: Duration = Duration::from_secs(30);
/// Time-out of the ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// When TCP sends the first keep-alive probe on a connection without traffic.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// How long sent data may remain unacknowledged before TCP closes the connection.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(15);

/// When an event last happened. All clones share the time.
#[derive(Clone, Debug)]
struct LastTime {
    created: Instant,
    /// Milliseconds since `created`; 0 if the event never happened.
    at: Arc<AtomicU64>,
}

impl LastTime {
    fn never() -> Self {
        Self { created: Instant::now(), at: Arc::default() }
    }

    fn note(&self) {
        let at = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.fetch_max(at.max(1), Ordering::Relaxed);
    }

    fn elapsed(&self) -> Option<Duration> {
        let at = Some(self.at.load(Ordering::Relaxed)).filter(|&at| at > 0)?;
        Some(self.created.elapsed().saturating_sub(Duration::from_millis(at)))
    }
}

/// What statements found out about the connections of a pool. After a time-out each connection that was not used since
/// is pinged before its next use.
#[derive(Clone, Debug)]
pub(super) struct ConnectionHealth {
    last_timeout: LastTime,
    identity: Arc<IdentityTracker>,
}

impl ConnectionHealth {
    /// Notes that a statement timed out.
    pub(super) fn note_timeout(&self) {
        self.last_timeout.note();
        self.note_lost();
    }

    /// Notes that a connection timed out or ended without this process closing it. The next connection may lead to
    /// another server, so rows that were read before are read again.
    pub(super) fn note_lost(&self) {
        self.identity.connection_lost(Instant::now());
    }

    /// Whether a statement timed out since a connection was last used, which was `unused` ago.
    fn timed_out_since(&self, unused: Duration) -> bool {
        self.last_timeout.elapsed().is_some_and(|since| since <= unused)
    }
}

/// Creates a pool. Each new connection first runs the statements of `session`.
pub(super) fn pool(
    options: &StoreOptions,
    session: Option<&'static str>,
    identity: Arc<IdentityTracker>,
) -> Result<(Pool, ConnectionHealth), Error> {
    let health = ConnectionHealth { last_timeout: LastTime::never(), identity };
    let hook_health = health.clone();
    let pool = Pool::builder(manager(options)?)
        .max_size(options.pool_size)
        // The most recently used connection is used next, so that surplus connections remain unused and can be closed.
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(options.pool_timeout),
            create: Some(options.connect_timeout),
            recycle: Some(options.pool_timeout),
        })
        .post_create(Hook::async_fn(move |client, _| Box::pin(begin(client, session))))
        .pre_recycle(Hook::async_fn(move |client, metrics| {
            Box::pin(check(client, *metrics, hook_health.clone()))
        }))
        .build()
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok((pool, health))
}

fn manager(options: &StoreOptions) -> Result<Manager, Error> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let endpoint = &options.endpoint;
    let mut connection = endpoint.connection.clone();
    connection
        .connect_timeout(options.connect_timeout)
        .keepalives_idle(KEEPALIVE_IDLE)
        .tcp_user_timeout(UNACKNOWLEDGED_LIMIT);
    if connection.get_ssl_mode() != SslMode::Require {
        return Ok(Manager::from_config(connection, NoTls, recycling));
    }
    let tls = tls::connector(endpoint.identity, endpoint.authorities.as_deref())?;
    Ok(Manager::from_config(connection, MakeRustlsConnect::new(tls), recycling))
}

type HookResult = Result<(), HookError>;

async fn begin(client: &ClientWrapper, session: Option<&str>) -> HookResult {
    match session {
        Some(session) => client.batch_execute(session).await.map_err(HookError::Backend),
        None => Ok(()),
    }
}

/// Checks an idle connection before its next use, and pings it if it may be broken. After an error the pool replaces
/// it.
async fn check(client: &ClientWrapper, metrics: Metrics, health: ConnectionHealth) -> HookResult {
    if client.is_closed() {
        health.note_lost();
        return Err(HookError::message("the connection has ended"));
    }
    let unused = metrics.last_used();
    if unused < PING_AFTER_IDLE && !health.timed_out_since(unused) {
        return Ok(());
    }
    let answer = timeout(PING_TIMEOUT, client.batch_execute("")).await;
    let timed_out = |_| Err(HookError::message("an idle connection does not answer"));
    let answered = answer.map_or_else(timed_out, |answer| answer.map_err(HookError::Backend));
    answered.inspect_err(|_| health.note_lost())
}
