//! Connections: a pool, and statements that end in time or close their connection.

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
    /// Time-out for opening a connection. Neon needs some seconds to wake.
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
/// No client waits for a job, so a job waits longer for a connection, which others may hold for a whole transaction.
const JOB_POOL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a lane's connection is checked.
const HOLD_INTERVAL: Duration = Duration::from_secs(1);
/// The sweep runs one statement at a time.
const SWEEP_POOL_SIZE: usize = 1;
const SESSION: &str = include_str!("../../sql/queries/pool/session.sql");
const LANE_SESSION: &str = include_str!("../../sql/queries/lanes/session.sql");
const JOB_SESSION: &str = include_str!("../../sql/queries/jobs/session.sql");
const SWEEP_SESSION: &str = include_str!("../../sql/queries/sweep/session.sql");

/// The handle through which all statements run. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    member: Arc<Member>,
    runner: StatementRunner,
    options: Arc<StoreOptions>,
}

/// The present use of the pool.
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
    /// Makes the pool. Connections are opened when they are needed first.
    ///
    /// # Errors
    /// Returns an error if the pool's settings contradict each other.
    pub fn new(options: StoreOptions) -> Result<Self, Error> {
        Self::with_session(options, SESSION, Purpose::Requests, Arc::default())
    }

    /// A store for one lane, with connections of its own. The runtime of its first user serves them.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_lane(&self) -> Result<Self, Error> {
        let options =
            StoreOptions { pool_size: LANE_POOL_SIZE, ..StoreOptions::clone(&self.options) };
        Self::with_session(options, LANE_SESSION, Purpose::Lane, self.shared())
    }

    /// A store for jobs, with connections of its own, so that their long statements do not keep requests waiting.
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

    /// A store for settling in bulk, whose statements end before they would delay a player's click noticeably.
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

    /// The same connections with another statement time-out, for transactions. Postgres needs to be given the same
    /// time-out.
    pub(super) fn patient(&self, statement_timeout: Duration) -> Self {
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
        let of_connections = pooled.is_none().then_some(session);
        let (pool, health) =
            endpoint::pool(&options, of_connections, Arc::clone(&shared.identity))?;
        let member =
            Member { pool, purpose, patience: options.pool_timeout, health: health.clone() };
        let member = shared.budget.join(member);
        let runner = StatementRunner { limit: options.statement_timeout, health, pooled, shared };
        Ok(Self { member, runner, options: Arc::new(options) })
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.runner.shared)
    }

    /// What is known about the identity of the database.
    pub fn identity(&self) -> &Arc<IdentityTracker> {
        &self.runner.shared.identity
    }

    /// What is known about whether Postgres accepts writes.
    pub(super) fn writes(&self) -> &Writes {
        &self.runner.shared.writes
    }

    /// Closes all idle connections of the process, so that new sessions begin.
    pub(super) fn renew_connections(&self) {
        self.runner.shared.budget.renew();
    }

    /// Keeps a lane's connection open until the store is closed, and closes connections of all pools that are not
    /// needed any more. Run it on the runtime of the lane.
    pub async fn hold_connection(self) {
        while !self.member.pool.is_closed() {
            let budget = &self.runner.shared.budget;
            budget.tidy();
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

    /// The present use of the pool.
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
            // The first time, Postgres is asked for the types of the parameters, which takes a transaction of several
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

    /// A connection for writing the result of rows that were read at `read_at` or later.
    ///
    /// # Errors
    /// Nothing was sent then. Returns [`Error::Contention`] if a connection was lost since `read_at`: this connection
    /// may lead to another server, whose rows may differ at the same revision.
    pub async fn writing(&self, read_at: Instant) -> Result<Writing<'_>, Error> {
        let client = self.connection().await?;
        if self.identity().is_still_valid(read_at) {
            return Ok(Writing { store: self, client });
        }
        Err(Error::Contention("a connection was lost after the rows were read".into()))
    }
}

/// A connection to the server that the rows were read from. Until a statement is answered it is not known whether it
/// was carried out.
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
            // The first time, as in `run`: the transaction takes its own connection.
            drop(client);
            return store.query(statement, parameters).await;
        }
        Ok(store.run_on(client, statement, parameters, Wanted::Rows).await?.rows())
    }
}

/// A transaction. If it is dropped without [`Transaction::commit`], for example because the client closed its
/// connection, its connection is closed and Postgres rolls it back.
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

    /// Commits and makes everything durable.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if there was no answer: it is not known then whether the transaction was
    /// committed.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.batch("commit").await?;
        drop(self.client.take());
        Ok(())
    }

    /// Rolls back and keeps the connection.
    ///
    /// # Errors
    /// Returns [`Error::Unavailable`] if there was no answer. The transaction is rolled back in any case.
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
