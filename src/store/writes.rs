//! Whether Postgres accepts writes.
//!
//! If a statement fails because the database is read-only or because its disk is full, the reason is stored here. From
//! then on the poller calls [`Store::check_writes`] regularly, which tries a small write, until the write succeeds. If
//! no statement writes, the poller's own query ([`Store::pulse`]) detects that the database became read-only.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::error::Error;
use super::pool::Store;

/// Why Postgres refuses writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server is a standby, or sessions are read-only by default.
    ReadOnly,
    /// The disk is full or faulty.
    Disk,
}

/// Writes count as accepted again only after no write was refused for this long. A successful trial write is not
/// enough, because larger writes may still fail.
const MIN_TIME_WITHOUT_REFUSAL: Duration = Duration::from_secs(2);

/// The last refusal; `None` if Postgres accepts writes, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Writes(Mutex<Option<LastRefusal>>);

#[derive(Clone, Copy, Debug)]
struct LastRefusal {
    refusal: Refusal,
    at: Instant,
}

impl Writes {
    /// Stores the refusal, if Postgres refused a write. Returns true if the database is read-only and this was not
    /// known before.
    pub(super) fn note(&self, error: &tokio_postgres::Error) -> bool {
        match error.code().and_then(refusal) {
            Some(refusal) => self.refused(refusal) && refusal == Refusal::ReadOnly,
            None => false,
        }
    }

    /// Stores a refusal. Returns whether it differs from the previous state.
    fn refused(&self, refusal: Refusal) -> bool {
        let previous = self.lock().replace(LastRefusal { refusal, at: Instant::now() });
        previous.is_none_or(|previous| previous.refusal != refusal)
    }

    /// Stores that a session is read-only. Does nothing if a refusal is stored already: a session that began read-only
    /// stays read-only, so its answer does not show that the database still refuses writes.
    pub(super) fn found_read_only(&self) {
        if self.last().is_none() {
            self.refused(Refusal::ReadOnly);
        }
    }

    fn last(&self) -> Option<LastRefusal> {
        *self.lock()
    }

    fn clear(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<LastRefusal>> {
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
    /// Why Postgres refuses writes; `None` if it accepts them, as far as is known. If a refusal is stored, this tries a
    /// small write and deletes the refusal when Postgres accepts writes again.
    pub async fn check_writes(&self) -> Option<Refusal> {
        let before = self.writes().last()?;
        // The result is ignored: `Writes::note` has stored a refusal by the disk. Any other error, such as a limit on
        // temporary files, does not affect players.
        self.fill_temporary_file().await.unwrap_or_default();
        let written = self.execute(include_str!("../../sql/queries/writes/probe.sql"), &[]).await;
        let last = self.writes().last()?;
        if written.is_err() || last.at.elapsed() < MIN_TIME_WITHOUT_REFUSAL {
            return Some(last.refusal);
        }
        self.writes().clear();
        if before.refusal == Refusal::ReadOnly {
            // Sessions that began read-only stay read-only.
            self.renew_connections();
        }
        None
    }

    /// Whether the database is read-only for this session.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn is_read_only(&self) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/writes/is_read_only.sql");
        let row = self.query_opt(sql, &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no answer".into()))?;
        Ok(row.try_get("read_only")?)
    }

    /// Writes a temporary file that needs more disk space than a write of a player does.
    async fn fill_temporary_file(&self) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        transaction.batch(include_str!("../../sql/queries/writes/little_memory.sql")).await?;
        transaction.query(include_str!("../../sql/queries/writes/spill.sql"), &[]).await?;
        transaction.rollback().await
    }
}
