//! Where Postgres is, and how connections to it are made and looked after.

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

/// Where Postgres is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub connection: tokio_postgres::Config,
    /// What its certificate must be; looked at where `connection` asks for TLS.
    pub identity: Identity,
    /// The authorities that vouch for it, in PEM form; the public ones where absent.
    pub authorities: Option<Arc<[u8]>>,
    /// Whether a pooler in transaction mode stands before it: nothing outlives a transaction then, neither settings nor
    /// prepared statements.
    pub pooled: bool,
}

/// A Postgres that is spoken with directly.
impl From<tokio_postgres::Config> for Endpoint {
    fn from(connection: tokio_postgres::Config) -> Self {
        Self { connection, identity: Identity::Name, authorities: None, pooled: false }
    }
}

/// An idle connection is asked whether it lives after this long: databases that sleep drop theirs, and networks forget
/// those that nobody uses, some without a word.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);
/// How long the answer may take.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// When the network is first asked about a connection that carries nothing, and how long what was sent may go without
/// being acknowledged.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(15);

/// When something last happened, as all handles of a pool see it.
#[derive(Clone, Debug)]
struct LastTime {
    began: Instant,
    /// Milliseconds from `began` on; none where it is 0.
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

/// Connections are not trusted until they have answered: one of them did not.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    raised: LastTime,
    identity: Arc<IdentityTracker>,
}

impl Doubt {
    /// Notes that a connection did not answer in time.
    pub(super) fn raise(&self) {
        self.raised.note();
        self.note_lost();
    }

    /// Notes that a connection ended without this process closing it. The next one may lead to another server, so what was
    /// read before is read again.
    pub(super) fn note_lost(&self) {
        self.identity.connection_lost(Instant::now());
    }

    /// Whether a connection that was last used that long ago must be asked.
    fn concerns(&self, unused: Duration) -> bool {
        self.raised.elapsed().is_some_and(|since| since <= unused)
    }
}

/// Makes the pool of `options`, whose connections each begin with the statements of `session`.
pub(super) fn pool(
    options: &StoreOptions,
    session: Option<&'static str>,
    identity: Arc<IdentityTracker>,
) -> Result<(Pool, Doubt), Error> {
    let doubt = Doubt { raised: LastTime::never(), identity };
    let doubts = doubt.clone();
    let pool = Pool::builder(manager(options)?)
        .max_size(options.pool_size)
        // The one that was used last is used next, so that those beyond the need are unused and can be closed.
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
    Ok((pool, doubt))
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

/// Asks a connection that may have died unnoticed for a sign of life. One that gives none is replaced.
async fn ask(client: &ClientWrapper, metrics: Metrics, doubt: Doubt) -> Hooked {
    if client.is_closed() {
        doubt.note_lost();
        return Err(HookError::message("the connection has ended"));
    }
    let unused = metrics.last_used();
    if unused < TRUSTED_IDLE && !doubt.concerns(unused) {
        return Ok(());
    }
    let answer = timeout(ASK_LIMIT, client.batch_execute("")).await;
    let dead = |_| Err(HookError::message("an idle connection is dead"));
    let answered = answer.map_or_else(dead, |answer| answer.map_err(HookError::Backend));
    answered.inspect_err(|_| doubt.note_lost())
}
