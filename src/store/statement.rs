//! Runs one statement on one connection, and closes the connection if the statement times out.
//!
//! On a direct connection, each statement is prepared once, and settings are made once for the session. Behind a pooler
//! in transaction mode, the next transaction may run in another session. Therefore statements are unnamed there, and
//! each transaction begins with its settings. Both ways take one round trip for each statement.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join3;
use tokio::time::timeout;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::budget::{Budget, Connection};
use super::endpoint::ConnectionHealth;
use super::error::Error;
use super::writes::Writes;
use crate::identity::IdentityTracker;

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs the statements of a pool.
#[derive(Clone)]
pub(super) struct StatementRunner {
    /// Time-out of a statement.
    pub(super) limit: Duration,
    pub(super) health: ConnectionHealth,
    pub(super) shared: Arc<Shared>,
    /// The settings and parameter types that are needed behind a pooler; `None` on direct connections.
    pub(super) pooled: Option<Arc<Pooled>>,
}

/// The state that all pools of a process share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) budget: Arc<Budget>,
    /// Whether Postgres refuses writes, as far as the outcomes of statements show.
    pub(super) writes: Writes,
    pub(super) identity: Arc<IdentityTracker>,
}

/// The settings and parameter types that are needed behind a pooler.
#[derive(Debug)]
pub(super) struct Pooled {
    /// The statements that begin a transaction: `begin` and its settings.
    prelude: String,
    /// The parameter types of each statement that ran before, as Postgres reported them.
    types: RwLock<HashMap<&'static str, Arc<[Type]>>>,
}

impl Pooled {
    /// Converts the settings of a session into settings of a transaction. Each statement of `session` must begin with
    /// `set`, or call `set_config` with `false` (which means: for the session) as its last argument.
    pub(super) fn new(session: &str) -> Self {
        let local = session.replace("\nset ", "\nset local ").replace(", false)", ", true)");
        Self { prelude: format!("begin;\n{local}"), types: RwLock::default() }
    }

    /// The types of the statement's parameters, if the statement ran before.
    pub(super) fn types(&self, statement: &'static str) -> Option<Arc<[Type]>> {
        self.types.read().unwrap_or_else(PoisonError::into_inner).get(statement).cloned()
    }

    /// As [`Pooled::types`], but asks Postgres if the types are not known. Call it only within a transaction: asking
    /// prepares a named statement, which must be deallocated before the pooler gives the session to another client.
    async fn learned_types(
        &self,
        client: &Client,
        statement: &'static str,
    ) -> Result<Arc<[Type]>, tokio_postgres::Error> {
        if let Some(types) = self.types(statement) {
            return Ok(types);
        }
        // The prepared statement is dropped in this line, which sends the request to deallocate it. Postgres processes
        // that request before any later statement.
        let types: Arc<[Type]> = client.prepare(statement).await?.params().into();
        let mut known = self.types.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(statement, Arc::clone(&types));
        Ok(types)
    }
}

/// Rows, or the number of written rows.
#[derive(Debug)]
pub(super) enum Output {
    Rows(Vec<Row>),
    Written(u64),
}

/// Which result of a statement is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Rows,
    Count,
}

impl Output {
    pub(super) fn rows(self) -> Vec<Row> {
        match self {
            Self::Rows(rows) => rows,
            Self::Written(_) => Vec::new(),
        }
    }

    pub(super) fn count(self) -> u64 {
        match self {
            Self::Rows(rows) => rows.len() as u64,
            Self::Written(count) => count,
        }
    }
}

impl StatementRunner {
    /// The statements that begin a transaction.
    pub(super) fn prelude(&self) -> &str {
        self.pooled.as_ref().map_or("begin", |pooled| &pooled.prelude)
    }

    /// Runs a statement in its own transaction.
    pub(super) async fn alone(
        &self,
        client: &mut Option<Connection>,
        statement: &'static str,
        parameters: Parameters<'_>,
        wanted: Wanted,
    ) -> Result<Output, Error> {
        let Some(open) = client.as_ref() else { return Err(given_up()) };
        let run = async {
            match &self.pooled {
                None => prepared(open, statement, parameters, wanted).await,
                Some(pooled) => {
                    let types = pooled.types(statement).unwrap_or_default();
                    // All three are sent without waiting for answers, so they take one round trip.
                    let (begun, output, ended) = join3(
                        open.batch_execute(&pooled.prelude),
                        unnamed(open, statement, parameters, &types, wanted),
                        open.batch_execute("commit"),
                    )
                    .await;
                    begun?;
                    let output = output?;
                    ended?;
                    Ok(output)
                }
            }
        };
        let result = timeout(self.limit, run).instrument(span(statement)).await;
        self.conclude(client, result)
    }

    /// Runs a statement of a transaction.
    pub(super) async fn within(
        &self,
        client: &mut Option<Connection>,
        statement: &'static str,
        parameters: Parameters<'_>,
        wanted: Wanted,
    ) -> Result<Output, Error> {
        let Some(open) = client.as_ref() else { return Err(given_up()) };
        let run = async {
            match &self.pooled {
                None => prepared(open, statement, parameters, wanted).await,
                Some(pooled) => {
                    let types = pooled.learned_types(open, statement).await?;
                    unnamed(open, statement, parameters, &types, wanted).await
                }
            }
        };
        let result = timeout(self.limit, run).instrument(span(statement)).await;
        self.conclude(client, result)
    }

    /// Runs statements without parameters or results.
    pub(super) async fn batch(&self, client: Option<&Connection>, sql: &str) -> Result<(), Error> {
        let client = client.ok_or_else(given_up)?;
        match timeout(self.limit, client.batch_execute(sql)).await {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => Err(self.out_of_time()),
        }
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        if ends_connection(&error) {
            self.health.note_lost();
        }
        if self.shared.writes.note(&error) {
            // Idle connections were opened before the database became read-only, or lead to a former primary.
            self.shared.budget.renew();
        }
        error.into()
    }

    /// Returns the result of a statement, and closes the connection if it must not be used again:
    ///
    /// - after a time-out, because the statement may still commit, and its late answer could be taken for the answer to
    ///   the next statement,
    /// - if Postgres ended the connection,
    /// - if the session is read-only, because it stays read-only when the database accepts writes again.
    fn conclude(
        &self,
        client: &mut Option<Connection>,
        result: Result<Result<Output, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<Output, Error> {
        let lost = match &result {
            Ok(Ok(_)) => false,
            Ok(Err(error)) => {
                ends_connection(error) || error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
            }
            Err(_) => true,
        };
        if lost {
            client.take().map(Connection::close).unwrap_or_default();
        }
        result.map_err(|_| self.out_of_time())?.map_err(|error| self.failed(error))
    }

    fn out_of_time(&self) -> Error {
        self.health.note_timeout();
        Error::Unavailable(format!("no answer within {} ms", self.limit.as_millis()))
    }
}

/// Whether the connection cannot be used after the error. Postgres sends the error before it closes the connection, so
/// the client may still report the connection as open.
fn ends_connection(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    error.is_closed() || matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// The tracing span of a statement. Its name is the text between `-- ` and `: ` in the statement's first line.
fn span(statement: &'static str) -> Span {
    let span = tracing::trace_span!(
        target: "idlewatt::spans",
        "statement",
        otel.kind = "client",
        otel.name = Empty,
        db.system.name = "postgresql",
    );
    if !span.is_disabled() {
        let name = statement.strip_prefix("-- ").and_then(|it| it.split_once(": "));
        span.record("otel.name", name.map_or("statement", |(name, _)| name));
    }
    span
}

async fn prepared(
    client: &Connection,
    statement: &'static str,
    parameters: Parameters<'_>,
    wanted: Wanted,
) -> Result<Output, tokio_postgres::Error> {
    let prepared = client.prepare_cached(statement).await?;
    match wanted {
        Wanted::Rows => client.query(&prepared, parameters).await.map(Output::Rows),
        Wanted::Count => client.execute(&prepared, parameters).await.map(Output::Written),
    }
}

async fn unnamed(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
    types: &[Type],
    wanted: Wanted,
) -> Result<Output, tokio_postgres::Error> {
    let typed: Vec<_> = parameters.iter().copied().zip(types.iter().cloned()).collect();
    match wanted {
        Wanted::Rows => client.query_typed(statement, &typed).await.map(Output::Rows),
        Wanted::Count => client.execute_typed(statement, &typed).await.map(Output::Written),
    }
}

fn given_up() -> Error {
    Error::Unavailable("the connection was closed after an earlier error or time-out".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_a_session_becomes_a_setting_of_a_transaction() {
        for session in [
            include_str!("../../sql/queries/pool/session.sql"),
            include_str!("../../sql/queries/lanes/session.sql"),
            include_str!("../../sql/queries/jobs/session.sql"),
            include_str!("../../sql/queries/sweep/session.sql"),
        ] {
            let prelude = Pooled::new(session).prelude;
            let lines = prelude.lines().filter(|line| !line.starts_with("--"));
            let text: String = lines.collect::<Vec<_>>().join(" ");
            let statements: Vec<_> = text.split_terminator(';').map(str::trim).collect();
            let (begin, settings) = statements.split_first().expect("statements");
            assert_eq!(*begin, "begin");
            assert!(settings.len() >= 4);
            for setting in settings {
                let durable = "select set_config('synchronous_commit', 'on', true) where ";
                let local = setting.starts_with("set local ") || setting.starts_with(durable);
                assert!(local, "{setting}");
            }
        }
    }
}
