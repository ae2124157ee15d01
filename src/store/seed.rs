//! Writing many players at once.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{Json, ToSql, Type};

use super::commit::signed;
use super::error::Error;
use super::players::{InventoryColumn, PlayerRecord};
use super::pool::Store;
use crate::domain::Timestamp;

/// A player who is to be there from the beginning.
#[derive(Clone, Debug)]
pub struct SeedPlayer {
    pub record: PlayerRecord,
    /// The rate at `settled_at`.
    pub energy_per_second: f64,
    pub accrues_until: Timestamp,
}

/// The columns of `copy_players.sql`.
const TYPES: [Type; 18] = [
    Type::UUID,
    Type::INT8,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::FLOAT8,
    Type::TIMESTAMPTZ,
    Type::FLOAT8,
    Type::INT8,
    Type::FLOAT8,
    Type::JSONB,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::FLOAT8,
    Type::FLOAT8,
];

impl Store {
    /// Adds players, all or none.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn copy_players(&self, players: &[SeedPlayer], limit: Duration) -> Result<(), Error> {
        let mut client = self.connection().await?;
        let copied = timeout(limit, async {
            let transaction = client.transaction().await?;
            transaction.batch_execute(include_str!("../../sql/queries/seed/patience.sql")).await?;
            let sql = include_str!("../../sql/queries/seed/copy_players.sql");
            let sink = transaction.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
            for player in players {
                let SeedPlayer { record, energy_per_second, accrues_until } = player;
                let it = &record.player;
                let inventory = Json(InventoryColumn::from(&it.inventory));
                let columns: [&(dyn ToSql + Sync); 18] = [
                    &record.id,
                    &signed(it.version),
                    &it.energy,
                    &it.lifetime_energy,
                    &it.settled_at,
                    &it.last_seen_at,
                    accrues_until,
                    &it.clicks.tokens,
                    &it.clicks.filled_at,
                    energy_per_second,
                    &signed(record.catalogue_version),
                    &it.cores,
                    &inventory,
                    &&*it.display_name,
                    &record.created_at,
                    &it.season.number(),
                    &it.season_base,
                    &it.ledger_balance,
                ];
                writer.as_mut().write(&columns).await?;
            }
            writer.finish().await?;
            transaction.commit().await
        });
        Ok(copied
            .await
            .map_err(|_| Error::Unavailable("writing players took too long".into()))??)
    }

    /// Has the planner look at the players anew.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn analyze_players(&self, limit: Duration) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seed/analyze_players.sql");
        self.patient(limit).execute(sql, &[]).await.map(drop)
    }
}
