//! The outbox: what happened to players, written by the statements that changed them. `notifications` gives each entry
//! its place in a stream.

use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::pool::Transaction;
use crate::domain::Timestamp;

/// An entry of the outbox.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// `None` if it concerns everybody.
    pub player: Option<Uuid>,
    pub kind: String,
    pub at: Timestamp,
    pub data: Value,
}

impl Transaction {
    /// Removes up to `limit` of the oldest entries that no other transaction is removing, and returns them.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn take_outbox(&mut self, limit: i64) -> Result<Vec<OutboxEntry>, Error> {
        let mut rows =
            self.query(include_str!("../../sql/queries/outbox/take.sql"), &[&limit]).await?;
        rows.sort_by_key(|row| row.try_get::<_, i64>("outbox_id").unwrap_or(i64::MAX));
        rows.iter()
            .map(|row| {
                Ok(OutboxEntry {
                    player: row.try_get("player_id")?,
                    kind: row.try_get("type")?,
                    at: row.try_get("at")?,
                    data: row.try_get("data")?,
                })
            })
            .collect()
    }
}
