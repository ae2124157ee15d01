//! Whether Postgres accepts writes.
//!
//! A statement that fails because the database is read-only or its disk is full is noted here. From then on a small
//! write is tried from time to time until it succeeds. The poller, which asks for it, detects a database that became
//! read-only while nothing was written.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::error::Error;
use super::pool::Store;

/// Why Postgres accepts no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is a standby, or sessions are read-only by default.
    ReadOnly,
    /// The disk is full or faulty.
    Disk,
}

/// Writes count as accepted again only after no write was refused for this long, because a trial write may succeed
/// while writes of players do not.
const QUIET: Duration = Duration::from_secs(2);

/// The last refusal.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<Option<Noted>>);

#[derive(Clone, Copy, Debug)]
struct Noted {
    refusal: Refusal,
    last: Instant,
}

impl Writes {
    /// Notes why a statement failed. Returns whether it is news that the database is read-only.
    pub(super) fn note(&self, error: &tokio_postgres::Error) -> bool {
        match error.code().and_then(refusal) {
            Some(refusal) => self.refused(refusal) && refusal == Refusal::ReadOnly,
            None => false,
        }
    }

    /// Notes a refusal. Returns whether there was none before, or another one.
    fn refused(&self, refusal: Refusal) -> bool {
        let last = Instant::now();
        let noted = self.lock().replace(Noted { refusal, last });
        noted.is_none_or(|before| before.refusal != refusal)
    }

    /// Notes that a session found the database read-only. If a refusal is noted already, only a successful write
    /// counts, because sessions that began read-only stay so.
    pub(super) fn found_read_only(&self) {
        if self.noted().is_none() {
            self.refused(Refusal::ReadOnly);
        }
    }

    fn noted(&self) -> Option<Noted> {
        *self.lock()
    }

    fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(code: &SqlState) -> Option<Refusal> {
    match *code {
        SqlState::READ_ONLY_SQL_TRANSACTION => Some(Refusal::ReadOnly),
        SqlState::DISK_FULL | SqlState::IO_ERROR => Some(Refusal::Disk),
        _ => None,
    }
}

impl Store {
    /// Finds out why Postgres accepts no writes; `None` if it accepts them, as far as is known. A small write is tried
    /// if a write was refused recently or a poll found the database read-only.
    pub async fn check_writes(&self) -> Option<Refusal> {
        let before = self.writes().noted()?;
        // A limit on temporary files may also refuse it. Only the noted refusal counts.
        self.spill().await.unwrap_or_default();
        let written = self.execute(include_str!("../../sql/queries/writes/probe.sql"), &[]).await;
        let noted = self.writes().noted()?;
        if written.is_err() || noted.last.elapsed() < QUIET {
            return Some(noted.refusal);
        }
        self.writes().forget();
        if before.refusal == Refusal::ReadOnly {
            // Sessions that began read-only stay so.
            self.renew_connections();
        }
        None
    }

    /// Whether the database is read-only for a session that begins now.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn is_read_only(&self) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/writes/is_read_only.sql");
        let row = self.query_opt(sql, &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no answer".into()))?;
        Ok(row.try_get("read_only")?)
    }

    /// Needs more disk space than a write of a player would.
    async fn spill(&self) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        transaction.batch(include_str!("../../sql/queries/writes/little_memory.sql")).await?;
        transaction.query(include_str!("../../sql/queries/writes/spill.sql"), &[]).await?;
        transaction.rollback().await
    }
}
