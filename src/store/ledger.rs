//! Reads the players' ledgers. The entries are written by `commit`.

use uuid::Uuid;

use super::commit::signed;
use super::error::Error;
use super::pool::Store;
use crate::domain::Timestamp;

/// A stored entry.
#[derive(Clone, Debug)]
pub struct LedgerLine {
    /// The player's version after the change.
    pub version: u64,
    pub at: Timestamp,
    pub kind: String,
    pub reference: String,
    pub earned: f64,
    pub delta: f64,
    pub balance_after: f64,
}

impl Store {
    /// Up to `limit` entries of a player with versions below `before`, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn ledger_page(
        &self,
        player: Uuid,
        before: u64,
        limit: i64,
    ) -> Result<Vec<LedgerLine>, Error> {
        let sql = include_str!("../../sql/queries/ledger/page.sql");
        let rows = self.query(sql, &[&player, &signed(before), &limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(LedgerLine {
                    version: row.try_get::<_, i64>("version")?.unsigned_abs(),
                    at: row.try_get("at")?,
                    kind: row.try_get("kind")?,
                    reference: row.try_get("reference")?,
                    earned: row.try_get("earned")?,
                    delta: row.try_get("delta")?,
                    balance_after: row.try_get("balance_after")?,
                })
            })
            .collect()
    }
}
