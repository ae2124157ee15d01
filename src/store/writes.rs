//! Whether Postgres takes writes.
//!
//! The outcome of each statement tells: one that is refused because the database is read-only or the disk is full is noted here.
//! From then on writes are tried once in a while until they are taken again. A database that became read-only while nobody
//! wrote is found by the pulse, which asks for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::error::Error;
use super::pool::Store;

/// Why Postgres takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is a standby, or its default is to be read-only.
    ReadOnly,
    /// The disk is full or does not work.
    Disk,
}

/// For this long no write may have been refused before writes count as taken again: a trial may be taken where those of
/// players are not.
const QUIET: Duration = Duration::from_secs(2);

/// What was noted last.
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

    /// Notes a refusal. Returns whether there was none, or another one, before.
    fn refused(&self, refusal: Refusal) -> bool {
        let last = Instant::now();
        let noted = self.lock().replace(Noted { refusal, last });
        noted.is_none_or(|before| before.refusal != refusal)
    }

    /// Notes that a session found the database read-only. Where a refusal is noted already only a write that succeeds counts, as
    /// sessions that began read-only stay so.
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
    /// Finds out why Postgres takes no writes; nothing where it takes them, as far as is known. Where a write was refused of
    /// late or a pulse found the database read-only, writes are tried.
    pub async fn check_writes(&self) -> Option<Refusal> {
        let before = self.writes().noted()?;
        // A limit on temporary files may refuse it as well: it is what was noted of it that counts.
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

    /// Whether the database is read-only, as a session of now sees it.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn is_read_only(&self) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/writes/is_read_only.sql");
        let row = self.query_opt(sql, &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no answer".into()))?;
        Ok(row.try_get("read_only")?)
    }

    /// Needs more space on the disk than a write of a player would.
    async fn spill(&self) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        transaction.batch(include_str!("../../sql/queries/writes/little_memory.sql")).await?;
        transaction.query(include_str!("../../sql/queries/writes/spill.sql"), &[]).await?;
        transaction.rollback().await
    }
}
