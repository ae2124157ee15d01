//! Connections: a pool, and statements that end in time or take their connection with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Row;

use super::budget::{Connection, Member, Purpose};
use super::endpoint::{self, Endpoint};
use super::error::Error;
use super::statement::{Conduct, Output, Parameters, Pooled, Shared, Wanted};
use super::writes::Writes;
use crate::identity::IdentityTracker;

/// How the database is reached.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub endpoint: Endpoint,
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
/// No client waits for a job: it waits longer for a connection, which others may hold for a whole transaction.
const JOB_POOL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked after a lane's connection.
const HOLD_INTERVAL: Duration = Duration::from_secs(1);
/// The sweep settles in one statement at a time.
const SWEEP_POOL_SIZE: usize = 1;
const SESSION: &str = include_str!("../../sql/queries/pool/session.sql");
const LANE_SESSION: &str = include_str!("../../sql/queries/lanes/session.sql");
const JOB_SESSION: &str = include_str!("../../sql/queries/jobs/session.sql");
const SWEEP_SESSION: &str = include_str!("../../sql/queries/sweep/session.sql");

/// The handle that every statement goes through. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    member: Arc<Member>,
    conduct: Conduct,
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

impl Store {
    /// Makes the pool; connections are opened when they are first needed.
    ///
    /// # Errors
    /// Only where the pool's settings contradict each other.
    pub fn new(options: StoreOptions) -> Result<Self, Error> {
        Self::with_session(options, SESSION, Purpose::Requests, Arc::default())
    }

    /// A store for one lane, with connections of its own. They are served by the runtime of whoever uses it first.
    ///
    /// # Errors
    /// As [`Store::new`].
    pub fn for_lane(&self) -> Result<Self, Error> {
        let options =
            StoreOptions { pool_size: LANE_POOL_SIZE, ..StoreOptions::clone(&self.options) };
        Self::with_session(options, LANE_SESSION, Purpose::Lane, self.shared())
    }

    /// A store for jobs, with connections of its own, so that long statements keep no request waiting for one.
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

    /// A store for settling in bulk, whose statements end before a player's click would notice.
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

    /// The same connections, for transactions whose statements may take that long. Postgres has to be told so, too.
    pub(super) fn patient(&self, statement_timeout: Duration) -> Self {
        let options = StoreOptions { statement_timeout, ..StoreOptions::clone(&self.options) };
        let conduct = Conduct { limit: statement_timeout, ..self.conduct.clone() };
        Self { conduct, options: Arc::new(options), ..self.clone() }
    }

    /// A store whose statements are subject to the settings of `session`.
    fn with_session(
        options: StoreOptions,
        session: &'static str,
        purpose: Purpose,
        shared: Arc<Shared>,
    ) -> Result<Self, Error> {
        let pooled = options.endpoint.pooled.then(|| Arc::new(Pooled::new(session)));
        let of_connections = pooled.is_none().then_some(session);
        let (pool, doubt) = endpoint::pool(&options, of_connections, Arc::clone(&shared.identity))?;
        let member = Member { pool, purpose, patience: options.pool_timeout, doubt: doubt.clone() };
        let member = shared.budget.join(member);
        let conduct = Conduct { limit: options.statement_timeout, doubt, pooled, shared };
        Ok(Self { member, conduct, options: Arc::new(options) })
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.conduct.shared)
    }

    /// What is known about the identity of the database.
    pub fn identity(&self) -> &Arc<IdentityTracker> {
        &self.conduct.shared.identity
    }

    /// What is known of whether Postgres takes writes.
    pub(super) fn writes(&self) -> &Writes {
        &self.conduct.shared.writes
    }

    /// Closes all idle connections of the process, so that sessions are begun anew.
    pub(super) fn renew_connections(&self) {
        self.conduct.shared.budget.renew();
    }

    /// Holds a lane's connection open until the store is closed, and closes those that no pool of the process uses any more.
    /// Run it where the lane runs.
    pub async fn hold_connection(self) {
        while !self.member.pool.is_closed() {
            let budget = &self.conduct.shared.budget;
            budget.tidy();
            if budget.lane_wants_connection(&self.member)
                && let Err(error) = self.connection().await
            {
                tracing::debug!(%error, "a lane has no connection");
            }
            sleep(HOLD_INTERVAL).await;
        }
    }

    /// Closes all connections; statements fail from then on.
    pub fn close(&self) {
        self.member.pool.close();
    }

    /// How the pool is used at present.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.member.pool.status();
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
        let client = Some(self.connection().await?);
        let transaction = Transaction { client, conduct: self.conduct.clone() };
        transaction.batch(self.conduct.prelude()).await?;
        Ok(transaction)
    }

    /// A connection that nobody else uses. Behind a pooler only a transaction may do more than one thing with it.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        self.conduct.shared.budget.connection(&self.member).await
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
        if self.conduct.pooled.as_ref().is_some_and(unknown) {
            // The first time, the types of the parameters are asked for, which takes a transaction of some round trips.
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
        self.conduct.alone(&mut Some(client), statement, parameters, wanted).await
    }

    /// A connection to write what was made from rows that were read at `read_at` or later.
    ///
    /// # Errors
    /// Nothing was sent then. [`Error::Contention`] where a connection was lost since `read_at`: this one may lead to
    /// another server, whose rows of the same revision may hold something else.
    pub async fn writing(&self, read_at: Instant) -> Result<Writing<'_>, Error> {
        let client = self.connection().await?;
        if self.identity().trusts(read_at) {
            return Ok(Writing { store: self, client });
        }
        Err(Error::Contention("a connection was lost after the rows were read".into()))
    }
}

/// A connection that leads to the server that the rows came from. What is sent over it has an unknown fate until it is
/// answered.
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
        if store.conduct.pooled.as_ref().is_some_and(|it| it.types(statement).is_none()) {
            // The first time, as in `run`: the transaction takes a connection of its own.
            drop(client);
            return store.query(statement, parameters).await;
        }
        Ok(store.run_on(client, statement, parameters, Wanted::Rows).await?.rows())
    }
}

/// A transaction. Dropped without [`Transaction::commit`], be it because whoever asked for it hung up, its connection is
/// closed and Postgres rolls it back.
pub struct Transaction {
    client: Option<Connection>,
    conduct: Conduct,
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
        self.conduct.within(&mut self.client, statement, parameters, wanted).await
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.conduct.batch(self.client.as_ref(), sql).await
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
            client.close();
        }
    }
}
