//! Inserts many generated players at once.

use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::commit::Written;
use super::error::Error;
use super::player_columns::{self, COLUMNS};
use super::players::PlayerRecord;
use super::pool::Store;
use crate::domain::Timestamp;

/// A generated player.
#[derive(Clone, Debug)]
pub struct SeedPlayer {
    pub record: PlayerRecord,
    /// The production per second at `settled_at`.
    pub energy_per_second: f64,
    pub accrues_until: Timestamp,
}

static COPY: LazyLock<String> = LazyLock::new(|| {
    player_columns::expand(include_str!("../../sql/queries/seed/copy_players.sql"))
});

impl Store {
    /// Inserts all players, or none of them if there is an error.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn copy_players(&self, players: &[SeedPlayer], limit: Duration) -> Result<(), Error> {
        let mut client = self.connection().await?;
        let copied = timeout(limit, async {
            let transaction = client.transaction().await?;
            transaction.batch_execute(include_str!("../../sql/queries/seed/patience.sql")).await?;
            let sink = transaction.copy_in(COPY.as_str()).await?;
            let types: Vec<_> = [Type::UUID, Type::TIMESTAMPTZ]
                .into_iter()
                .chain(player_columns::types())
                .collect();
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
            for SeedPlayer { record, energy_per_second, accrues_until } in players {
                let (energy_per_second, accrues_until) = (*energy_per_second, *accrues_until);
                let written = Written { record, energy_per_second, accrues_until };
                let values: Vec<_> =
                    COLUMNS.iter().map(|column| (column.value)(&written)).collect();
                let columns: Vec<&(dyn ToSql + Sync)> =
                    [&record.id as &(dyn ToSql + Sync), &record.created_at]
                        .into_iter()
                        .chain(values.iter().map(|value| &**value as &(dyn ToSql + Sync)))
                        .collect();
                writer.as_mut().write(&columns).await?;
            }
            writer.finish().await?;
            transaction.commit().await
        });
        Ok(copied
            .await
            .map_err(|_| Error::Unavailable("writing players took too long".into()))??)
    }

    /// Updates the statistics that the query planner of Postgres uses for the table of players.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn analyze_players(&self, limit: Duration) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seed/analyze_players.sql");
        self.with_statement_timeout(limit).execute(sql, &[]).await.map(drop)
    }
}
