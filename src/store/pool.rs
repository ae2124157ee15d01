//! Connections: a pool, and statements that end in time or take their connection with them.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Timeouts,
};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::Error;

/// How the database is reached.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub connection: tokio_postgres::Config,
    /// Connections at most.
    pub pool_size: usize,
    /// How long to wait for a free connection.
    pub pool_timeout: Duration,
    /// How long a new connection may take; Neon needs some seconds to wake.
    pub connect_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

/// Connections of one lane: one for its commits, one to spare while a broken one is replaced.
const LANE_POOL_SIZE: usize = 2;
/// Connections of jobs: one for each that runs, at most.
const JOB_POOL_SIZE: usize = 8;
/// A job's statement may go over a whole table.
const JOB_STATEMENT_TIMEOUT: Duration = Duration::from_mins(2);
/// The sweep settles in one statement at a time.
const SWEEP_POOL_SIZE: usize = 1;
const SESSION: &str = include_str!("../../sql/queries/pool/session.sql");
const LANE_SESSION: &str = include_str!("../../sql/queries/lanes/session.sql");
const JOB_SESSION: &str = include_str!("../../sql/queries/jobs/session.sql");
const SWEEP_SESSION: &str = include_str!("../../sql/queries/sweep/session.sql");

/// The handle that every statement goes through. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    options: Arc<StoreOptions>,
}

/// How the pool is used at present.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    /// Connections that may be open at once.
    pub max_size: usize,
    /// Connections that are open.
    pub size: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// Callers who wait for one.
    pub waiting: usize,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Store {
    /// Makes the pool; connections are opened when they are first needed.
    ///
    /// # Errors
    /// Only where the pool's settings contradict each other.
    pub fn new(options: StoreOptions) -> Result<Self, Error> {
        Self::with_session(options, SESSION)
    }

    /// A store for one lane, with connections of its own. They are served by the runtime of whoever uses it first.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_lane(&self) -> Result<Self, Error> {
        let options =
            StoreOptions { pool_size: LANE_POOL_SIZE, ..StoreOptions::clone(&self.options) };
        Self::with_session(options, LANE_SESSION)
    }

    /// A store for jobs, with connections of its own, so that long statements keep no request waiting for one.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_jobs(&self) -> Result<Self, Error> {
        let options = StoreOptions {
            pool_size: JOB_POOL_SIZE,
            statement_timeout: JOB_STATEMENT_TIMEOUT,
            ..StoreOptions::clone(&self.options)
        };
        Self::with_session(options, JOB_SESSION)
    }

    /// A store for settling in bulk, whose statements end before a player's click would notice.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_sweep(&self) -> Result<Self, Error> {
        let options =
            StoreOptions { pool_size: SWEEP_POOL_SIZE, ..StoreOptions::clone(&self.options) };
        Self::with_session(options, SWEEP_SESSION)
    }

    /// The same connections, for transactions whose statements may take that long. Postgres has to be told so, too.
    pub(super) fn patient(&self, statement_timeout: Duration) -> Self {
        let options = StoreOptions { statement_timeout, ..StoreOptions::clone(&self.options) };
        Self { pool: self.pool.clone(), options: Arc::new(options) }
    }

    /// A store whose connections begin with the statements of `session`.
    fn with_session(options: StoreOptions, session: &'static str) -> Result<Self, Error> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let mut connection = options.connection.clone();
        connection.connect_timeout(options.connect_timeout);
        // Where TLS is not asked for it is not used: a certificate that nobody vouches for, as distributions make for
        // their Postgres, would else keep the server from starting.
        let manager = match connection.get_ssl_mode() {
            SslMode::Disable | SslMode::Prefer => {
                Manager::from_config(connection, NoTls, recycling)
            }
            _ => Manager::from_config(connection, MakeRustlsConnect::new(tls()), recycling),
        };
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.pool_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.pool_timeout),
            })
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(
                    async move { client.batch_execute(session).await.map_err(HookError::Backend) },
                )
            }))
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { pool, options: Arc::new(options) })
    }

    /// Closes all connections; statements fail from then on.
    pub fn close(&self) {
        self.pool.close();
    }

    /// How the pool is used at present.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            max_size: status.max_size,
            size: status.size,
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// Begins a transaction on a connection of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no connection can be had.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let transaction = Transaction {
            client: Some(self.pool.get().await?),
            statement_timeout: self.options.statement_timeout,
        };
        transaction.batch("begin").await?;
        Ok(transaction)
    }

    /// A connection for statements that are not on any request's path.
    pub(super) async fn connection(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }

    pub(super) async fn query(
        &self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let mut client = Some(self.pool.get().await?);
        query(&mut client, self.options.statement_timeout, statement, parameters).await
    }

    pub(super) async fn query_opt(
        &self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(statement, parameters).await?.pop())
    }

    /// Runs a statement and returns how many rows it wrote.
    pub(super) async fn execute(
        &self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        let mut client = Some(self.pool.get().await?);
        execute(&mut client, self.options.statement_timeout, statement, parameters).await
    }
}

/// A transaction. Dropped without [`Transaction::commit`], be it because whoever asked for it hung up, its connection is
/// closed and Postgres rolls it back.
pub struct Transaction {
    client: Option<Object>,
    statement_timeout: Duration,
}

impl Transaction {
    /// Runs a statement and returns how many rows it wrote.
    pub(super) async fn execute(
        &mut self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        execute(&mut self.client, self.statement_timeout, statement, parameters).await
    }

    pub(super) async fn query(
        &mut self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        query(&mut self.client, self.statement_timeout, statement, parameters).await
    }

    async fn batch(&self, sql: &str) -> Result<(), Error> {
        let client = self.client.as_ref().ok_or_else(given_up)?;
        match timeout(self.statement_timeout, client.batch_execute(sql)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(out_of_time(self.statement_timeout)),
        }
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the answer did not come: whether it was committed is then unknown.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.batch("commit").await?;
        drop(self.client.take());
        Ok(())
    }

    /// Undoes all of it and keeps the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the answer did not come; it is rolled back all the same.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.batch("rollback").await?;
        drop(self.client.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

async fn query(
    client: &mut Option<Object>,
    limit: Duration,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, Error> {
    let Some(open) = client.as_ref() else { return Err(given_up()) };
    let run = async {
        let prepared = open.prepare_cached(statement).await?;
        open.query(&prepared, parameters).await
    };
    let result = timeout(limit, run).await;
    close_if_lost(client, &result);
    result.map_err(|_| out_of_time(limit))?.map_err(Error::from)
}

async fn execute(
    client: &mut Option<Object>,
    limit: Duration,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, Error> {
    let Some(open) = client.as_ref() else { return Err(given_up()) };
    let run = async {
        let prepared = open.prepare_cached(statement).await?;
        open.execute(&prepared, parameters).await
    };
    let result = timeout(limit, run).await;
    close_if_lost(client, &result);
    result.map_err(|_| out_of_time(limit))?.map_err(Error::from)
}

/// Closes a connection whose statement was given up on, as a late answer must not meet the next statement, nor a late
/// commit pass unnoticed; and one that may not write, as it would stay so when the database takes writes again.
fn close_if_lost<T>(
    client: &mut Option<Object>,
    result: &Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
) {
    let lost = match result {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
        Err(_) => true,
    };
    if lost {
        drop(client.take().map(Object::take));
    }
}

fn given_up() -> Error {
    Error::Unavailable("the connection was given up".into())
}

fn out_of_time(limit: Duration) -> Error {
    Error::Unavailable(format!("no answer within {} ms", limit.as_millis()))
}

/// TLS that trusts the public certificate authorities.
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| unreachable!("ring supports the default versions: {error}"));
    builder.with_root_certificates(roots).with_no_client_auth()
}
