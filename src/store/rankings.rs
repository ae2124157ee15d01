//! Reading all players, for the rankings.

use uuid::Uuid;

use super::error::Error;
use super::players::{PlayerRecord, decode};
use super::pool::Store;
use crate::domain::Timestamp;

impl Store {
    /// The rows of up to `limit` players after `after`, by id.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn players_after(
        &self,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<PlayerRecord>, Error> {
        let sql = include_str!("../../sql/queries/rankings/players_after.sql");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(sql, &[&after, &limit]).await?.iter().map(decode).collect()
    }

    /// Players who were deleted since `since`.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn deleted_since(&self, since: Timestamp) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/rankings/deleted_since.sql");
        let rows = self.query(sql, &[&since]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}
