//! Reads players for the rankings, and exchanges reports of changed rows between instances.

use std::sync::LazyLock;

use uuid::Uuid;

use super::error::Error;
use super::player_columns;
use super::players::{PlayerRecord, decode};
use super::pool::Store;
use crate::domain::Timestamp;

static PLAYERS_AFTER: LazyLock<String> = LazyLock::new(|| {
    player_columns::expand(include_str!("../../sql/queries/rankings/players_after.sql"))
});

impl Store {
    /// The rows of up to `limit` players after `after`, in the order of ids.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn players_after(
        &self,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<PlayerRecord>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(&PLAYERS_AFTER, &[&after, &limit]).await?.iter().map(decode).collect()
    }

    /// Reports to the other instances which players' rows `instance` has changed, and deletes reports that were made
    /// before `expired_before`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn report_ranking_news(
        &self,
        instance: Uuid,
        players: &[Uuid],
        now: Timestamp,
        expired_before: Timestamp,
    ) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/rankings/report_news.sql");
        self.execute(sql, &[&instance, &players, &now, &expired_before]).await.map(drop)
    }

    /// The reports that other instances made at or after `since`: for each its number and the changed players.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn ranking_news(
        &self,
        instance: Uuid,
        since: Timestamp,
    ) -> Result<Vec<(i64, Vec<Uuid>)>, Error> {
        let sql = include_str!("../../sql/queries/rankings/news.sql");
        let rows = self.query(sql, &[&instance, &since]).await?;
        rows.iter().map(|row| Ok((row.try_get("news_id")?, row.try_get("players")?))).collect()
    }

    /// The players who were deleted at or after `since`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn deleted_since(&self, since: Timestamp) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/rankings/deleted_since.sql");
        let rows = self.query(sql, &[&since]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}
