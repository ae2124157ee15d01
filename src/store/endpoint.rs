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
    /// What its certificate must prove, if `connection` requires TLS.
    pub identity: Identity,
    /// The certificate authorities in PEM form; `None` for the public ones.
    pub authorities: Option<Arc<[u8]>>,
    /// Whether a pooler in transaction mode is in between: neither settings nor prepared statements outlive a
    /// transaction then.
    pub pooled: bool,
}

/// A Postgres without a pooler in between.
impl From<tokio_postgres::Config> for Endpoint {
    fn from(connection: tokio_postgres::Config) -> Self {
        Self { connection, identity: Identity::Name, authorities: None, pooled: false }
    }
}

/// A connection that was idle for this long is pinged before its next use: databases that sleep drop connections, and
/// networks forget idle ones, some without a notice.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);
/// Time-out of the ping.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// When TCP first probes a connection without traffic, and how long sent data may stay without an acknowledgement.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(15);

/// When an event last happened, shared by all handles of a pool.
#[derive(Clone, Debug)]
struct LastTime {
    began: Instant,
    /// Milliseconds since `began`; 0 if it never happened.
    at: Arc<AtomicU64>,
}

impl LastTime {
    fn never() -> Self {
        Self { began: Instant::now(), at: Arc::default() }
    }

    fn note(&self) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.fetch_max(at.max(1), Ordering::Relaxed);
    }

    fn elapsed(&self) -> Option<Duration> {
        let at = Some(self.at.load(Ordering::Relaxed)).filter(|&at| at > 0)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(at)))
    }
}

/// Set after a statement timed out: each pooled connection is pinged before its next use.
#[derive(Clone, Debug)]
pub(super) struct ConnectionHealth {
    last_timeout: LastTime,
    identity: Arc<IdentityTracker>,
}

impl ConnectionHealth {
    /// Notes that a connection did not answer in time.
    pub(super) fn note_timeout(&self) {
        self.last_timeout.note();
        self.note_lost();
    }

    /// Notes that a connection ended without this process closing it. The next one may lead to another server, so rows
    /// that were read before are read again.
    pub(super) fn note_lost(&self) {
        self.identity.connection_lost(Instant::now());
    }

    /// Whether a connection that was not used for `unused` must be pinged.
    fn is_suspect(&self, unused: Duration) -> bool {
        self.last_timeout.elapsed().is_some_and(|since| since <= unused)
    }
}

/// Makes the pool of `options`. Each connection begins with the statements of `session`.
pub(super) fn pool(
    options: &StoreOptions,
    session: Option<&'static str>,
    identity: Arc<IdentityTracker>,
) -> Result<(Pool, ConnectionHealth), Error> {
    let health = ConnectionHealth { last_timeout: LastTime::never(), identity };
    let doubts = health.clone();
    let pool = Pool::builder(manager(options)?)
        .max_size(options.pool_size)
        // The connection that was used last is used next, so that surplus connections stay unused and can be closed.
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(options.pool_timeout),
            create: Some(options.connect_timeout),
            recycle: Some(options.pool_timeout),
        })
        .post_create(Hook::async_fn(move |client, _| Box::pin(begin(client, session))))
        .pre_recycle(Hook::async_fn(move |client, metrics| {
            Box::pin(ask(client, *metrics, doubts.clone()))
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

type Hooked = Result<(), HookError>;

async fn begin(client: &ClientWrapper, session: Option<&str>) -> Hooked {
    match session {
        Some(session) => client.batch_execute(session).await.map_err(HookError::Backend),
        None => Ok(()),
    }
}

/// Pings a connection that may have been closed unnoticed. If it does not answer it is replaced.
async fn ask(client: &ClientWrapper, metrics: Metrics, health: ConnectionHealth) -> Hooked {
    if client.is_closed() {
        health.note_lost();
        return Err(HookError::message("the connection has ended"));
    }
    let unused = metrics.last_used();
    if unused < TRUSTED_IDLE && !health.is_suspect(unused) {
        return Ok(());
    }
    let answer = timeout(ASK_LIMIT, client.batch_execute("")).await;
    let dead = |_| Err(HookError::message("an idle connection is dead"));
    let answered = answer.map_or_else(dead, |answer| answer.map_err(HookError::Backend));
    answered.inspect_err(|_| health.note_lost())
}
