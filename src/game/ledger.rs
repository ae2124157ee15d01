//! Reading a player's ledger.

use uuid::Uuid;

use super::{Error, Game};
use crate::store::ledger::LedgerLine;

impl Game {
    /// Up to `limit` entries below version `before`, newest first, and whether there are more.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn ledger(
        &self,
        player: Uuid,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<LedgerLine>, bool), Error> {
        // One more than requested: if it exists, there are more.
        let with_next = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let before = before.unwrap_or(u64::MAX);
        let mut lines = self.store.ledger_page(player, before, with_next).await?;
        let more = lines.len() > limit;
        lines.truncate(limit);
        Ok((lines, more))
    }
}
