//! The connection pool, statements with a time-out, and transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Row;

use super::budget::{Connection, Member, Purpose};
use super::endpoint::{self, Endpoint};
use super::error::Error;
use super::statement::{Output, Parameters, Pooled, Shared, StatementRunner, Wanted};
use super::writes::Writes;
use crate::identity::IdentityTracker;

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub endpoint: Endpoint,
    /// The largest number of connections.
    pub pool_size: usize,
    /// How long to wait for a free connection.
    pub pool_timeout: Duration,
    /// Time-out for opening a connection. A suspended Neon database needs some seconds to start.
    pub connect_timeout: Duration,
    /// Time-out of a statement.
    pub statement_timeout: Duration,
}

/// Connections of one lane: one for its commits, and one in reserve while a broken one is replaced.
const LANE_POOL_SIZE: usize = 2;
/// Connections of jobs: at most one for each running job.
const JOB_POOL_SIZE: usize = 8;
/// A job's statement may read a whole table.
const JOB_STATEMENT_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a job waits for a connection. No client waits for a job, and the transaction of another job may use a
/// connection for long.
const JOB_POOL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a lane's connection is checked.
const HOLD_INTERVAL: Duration = Duration::from_secs(1);
/// The sweep runs one statement at a time.
const SWEEP_POOL_SIZE: usize = 1;
const SESSION: &str = include_str!("../../sql/queries/pool/session.sql");
const LANE_SESSION: &str = include_str!("../../sql/queries/lanes/session.sql");
const JOB_SESSION: &str = include_str!("../../sql/queries/jobs/session.sql");
const SWEEP_SESSION: &str = include_str!("../../sql/queries/sweep/session.sql");

/// Runs all statements, on a pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    member: Arc<Member>,
    runner: StatementRunner,
    options: Arc<StoreOptions>,
}

/// How many connections of a pool are open, idle and waited for.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    /// How many connections may be open at the same time.
    pub max_size: usize,
    /// Connections that are open.
    pub size: usize,
    /// Open connections that are not in use.
    pub idle: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}

impl Store {
    /// Creates the pool. Connections are opened when they are first needed.
    ///
    /// # Errors
    /// Returns an error if the pool's settings contradict each other.
    pub fn new(options: StoreOptions) -> Result<Self, Error> {
        Self::with_session(options, SESSION, Purpose::Requests, Arc::default())
    }

    /// A store for one lane, with its own connections. The Tokio runtime that opens a connection also does its I/O, so
    /// use the store only on the runtime of the lane.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_lane(&self) -> Result<Self, Error> {
        let options =
            StoreOptions { pool_size: LANE_POOL_SIZE, ..StoreOptions::clone(&self.options) };
        Self::with_session(options, LANE_SESSION, Purpose::Lane, self.shared())
    }

    /// A store for jobs, with its own connections, so that requests do not wait for the long statements of jobs.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_jobs(&self) -> Result<Self, Error> {
        let options = StoreOptions {
            pool_size: JOB_POOL_SIZE,
            pool_timeout: JOB_POOL_TIMEOUT,
            statement_timeout: JOB_STATEMENT_TIMEOUT,
            ..StoreOptions::clone(&self.options)
        };
        Self::with_session(options, JOB_SESSION, Purpose::Background, self.shared())
    }

    /// A store for the sweep, which settles many players per statement. Its statements have a time limit that is so
    /// short that they do not delay players noticeably.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_sweep(&self) -> Result<Self, Error> {
        let options = StoreOptions {
            pool_size: SWEEP_POOL_SIZE,
            pool_timeout: JOB_POOL_TIMEOUT,
            ..StoreOptions::clone(&self.options)
        };
        Self::with_session(options, SWEEP_SESSION, Purpose::Background, self.shared())
    }

    /// The same connections with another statement time-out on the client's side. The transaction must set the
    /// `statement_timeout` of Postgres to the same value itself.
    pub(super) fn with_statement_timeout(&self, statement_timeout: Duration) -> Self {
        let options = StoreOptions { statement_timeout, ..StoreOptions::clone(&self.options) };
        let runner = StatementRunner { limit: statement_timeout, ..self.runner.clone() };
        Self { runner, options: Arc::new(options), ..self.clone() }
    }

    /// A store whose sessions begin with the settings of `session`.
    fn with_session(
        options: StoreOptions,
        session: &'static str,
        purpose: Purpose,
        shared: Arc<Shared>,
    ) -> Result<Self, Error> {
        let pooled = options.endpoint.pooled.then(|| Arc::new(Pooled::new(session)));
        let connection_settings = pooled.is_none().then_some(session);
        let (pool, health) =
            endpoint::pool(&options, connection_settings, Arc::clone(&shared.identity))?;
        let member =
            Member { pool, purpose, timeout: options.pool_timeout, health: health.clone() };
        let member = shared.budget.join(member);
        let runner = StatementRunner { limit: options.statement_timeout, health, pooled, shared };
        Ok(Self { member, runner, options: Arc::new(options) })
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.runner.shared)
    }

    /// The identity of the database, as far as it is known.
    pub fn identity(&self) -> &Arc<IdentityTracker> {
        &self.runner.shared.identity
    }

    /// Whether Postgres refuses writes, as far as is known.
    pub(super) fn writes(&self) -> &Writes {
        &self.runner.shared.writes
    }

    /// Closes all idle connections of the process, so that statements run in new sessions.
    pub(super) fn renew_connections(&self) {
        self.runner.shared.budget.renew();
    }

    /// Keeps a lane's connection open until the store is closed. Also closes connections of all pools that have not
    /// been used for some time. Run it on the runtime of the lane.
    pub async fn hold_connection(self) {
        while !self.member.pool.is_closed() {
            let budget = &self.runner.shared.budget;
            budget.close_surplus();
            if budget.lane_wants_connection(&self.member)
                && let Err(error) = self.connection().await
            {
                tracing::debug!(%error, "a lane has no connection");
            }
            sleep(HOLD_INTERVAL).await;
        }
    }

    /// Closes all connections. Later statements fail.
    pub fn close(&self) {
        self.member.pool.close();
    }

    /// How many connections of the pool are open, idle and waited for.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.member.pool.status();
        PoolStatus {
            max_size: status.max_size,
            size: status.size,
            idle: status.available,
            waiting: status.waiting,
        }
    }

    /// Begins a transaction on its own connection.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if there is no connection in time.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let client = Some(self.connection().await?);
        let transaction = Transaction { client, runner: self.runner.clone() };
        transaction.batch(self.runner.prelude()).await?;
        Ok(transaction)
    }

    /// A connection for exclusive use. Behind a pooler only a transaction may run more than one statement on it.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        self.runner.shared.budget.connection(&self.member).await
    }

    pub(super) async fn query(
        &self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        Ok(self.run(statement, parameters, Wanted::Rows).await?.rows())
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
        Ok(self.run(statement, parameters, Wanted::Count).await?.count())
    }

    async fn run(
        &self,
        statement: &'static str,
        parameters: Parameters<'_>,
        wanted: Wanted,
    ) -> Result<Output, Error> {
        let unknown = |pooled: &Arc<Pooled>| pooled.types(statement).is_none();
        if self.runner.pooled.as_ref().is_some_and(unknown) {
            // On the first run the transaction also asks Postgres for the types of the parameters, which takes further
            // round trips.
            let mut transaction = self.begin().await?;
            let output = transaction.run(statement, parameters, wanted).await?;
            transaction.commit().await?;
            return Ok(output);
        }
        self.run_on(self.connection().await?, statement, parameters, wanted).await
    }

    async fn run_on(
        &self,
        client: Connection,
        statement: &'static str,
        parameters: Parameters<'_>,
        wanted: Wanted,
    ) -> Result<Output, Error> {
        self.runner.alone(&mut Some(client), statement, parameters, wanted).await
    }

    /// A connection for writing changes of rows that were read at `read_at` or later.
    ///
    /// # Errors
    /// Returns [`Error::Contention`] if any connection was lost since `read_at`: the new connection may lead to another
    /// server, where a row with the same revision may have another content. After an error nothing was sent.
    pub async fn writing(&self, read_at: Instant) -> Result<Writing<'_>, Error> {
        let client = self.connection().await?;
        if self.identity().is_still_valid(read_at) {
            return Ok(Writing { store: self, client });
        }
        Err(Error::Contention("a connection was lost after the rows were read".into()))
    }
}

/// A connection to the server from which the rows were read. If a statement is not answered, it is not known whether it
/// was executed.
pub struct Writing<'a> {
    store: &'a Store,
    client: Connection,
}

impl Writing<'_> {
    pub(super) async fn query(
        self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let Self { store, client } = self;
        if store.runner.pooled.as_ref().is_some_and(|it| it.types(statement).is_none()) {
            // On the first run `Store::query` uses a transaction with its own connection, as `Store::run` describes.
            drop(client);
            return store.query(statement, parameters).await;
        }
        Ok(store.run_on(client, statement, parameters, Wanted::Rows).await?.rows())
    }
}

/// A transaction. If it is dropped without [`Transaction::commit`], for example because the HTTP client disconnected,
/// the connection to Postgres is closed, and Postgres rolls the transaction back.
pub struct Transaction {
    client: Option<Connection>,
    runner: StatementRunner,
}

impl Transaction {
    /// Runs a statement and returns how many rows it wrote.
    pub(super) async fn execute(
        &mut self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        Ok(self.run(statement, parameters, Wanted::Count).await?.count())
    }

    pub(super) async fn query(
        &mut self,
        statement: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        Ok(self.run(statement, parameters, Wanted::Rows).await?.rows())
    }

    async fn run(
        &mut self,
        statement: &'static str,
        parameters: Parameters<'_>,
        wanted: Wanted,
    ) -> Result<Output, Error> {
        self.runner.within(&mut self.client, statement, parameters, wanted).await
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.runner.batch(self.client.as_ref(), sql).await
    }

    /// Commits. The changes are durable when this returns.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if Postgres did not answer. Then it is not known whether the transaction was
    /// committed.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.batch("commit").await?;
        drop(self.client.take());
        Ok(())
    }

    /// Rolls back and returns the connection to the pool.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if Postgres did not answer. The transaction is rolled back in any case.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.batch("rollback").await?;
        drop(self.client.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
    }
}
