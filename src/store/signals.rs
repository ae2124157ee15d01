//! Signals: what transactions changed, for all instances.
//!
//! An instance reads the signals that were not visible in the snapshot of its last look (`pg_visible_in_snapshot`). So
//! it finds those of transactions that commit late, and none twice, without numbers that could have gaps.

use super::error::Error;
use super::pool::{Store, Transaction};

/// What changed since the last look.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Something that the poller reads changed: revocations, catalogues, silences.
    pub poll: bool,
    /// The outbox has new entries.
    pub outbox: bool,
    /// Streams with new events, and the sequence of an event of each.
    pub heads: Vec<(String, i64)>,
    /// The age of the oldest signal in seconds; 0 if there is none.
    pub oldest_seconds: f64,
    /// The snapshot for the next look.
    pub snapshot: String,
}

impl Store {
    /// The signals that were not visible in `snapshot`; without it, only the present snapshot.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn read_signals(&self, snapshot: Option<&str>) -> Result<Signals, Error> {
        let sql = include_str!("../../sql/queries/signals/read.sql");
        let rows = self.query(sql, &[&snapshot]).await?;
        let mut signals = Signals::default();
        for row in &rows {
            signals.snapshot = row.try_get("snapshot")?;
            let Some(poll) = row.try_get::<_, Option<bool>>("poll")? else { continue };
            signals.poll |= poll;
            signals.oldest_seconds = signals.oldest_seconds.max(row.try_get("age")?);
            signals.outbox |= row.try_get::<_, bool>("outbox")?;
            let streams: Vec<String> = row.try_get("streams")?;
            signals.heads.extend(streams.into_iter().zip(row.try_get::<_, Vec<i64>>("heads")?));
        }
        Ok(signals)
    }
}

impl Transaction {
    /// Deletes up to 10,000 signals that are older than a minute. Returns how many it deleted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_signals(&mut self) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/signals/purge.sql"), &[]).await
    }
}
