//! The players' rows.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::Error;
use super::player_columns;
use super::pool::{Store, Transaction};
use crate::domain::{Inventory, Player, Rules, Slug, Timestamp};

/// A player's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlayerRecord {
    pub id: Uuid,
    /// Rises with every write of the row; a write names the one that it was made from.
    pub revision: i64,
    /// The name to sign in by; guests have none.
    pub username: Option<Arc<str>>,
    pub created_at: Timestamp,
    pub banned: bool,
    /// The catalogue in force at the player's `settled_at`.
    pub catalogue_version: u64,
    pub player: Player,
}

static LOAD: LazyLock<String> =
    LazyLock::new(|| player_columns::expand(include_str!("../../sql/queries/players/load.sql")));
static LOAD_ONE: LazyLock<String> = LazyLock::new(|| {
    player_columns::expand(include_str!("../../sql/queries/players/load_one.sql"))
});
static LOCK: LazyLock<String> =
    LazyLock::new(|| player_columns::expand(include_str!("../../sql/queries/players/lock.sql")));

impl PlayerRecord {
    /// The bytes that hang on it, roughly.
    pub fn heap_bytes(&self) -> usize {
        let name = self.player.display_name.len() + self.username.as_ref().map_or(0, |it| it.len());
        name + self.player.inventory.heap_bytes()
    }

    /// Shares with an earlier row of the player what both have in common: it takes memory once, and what was worked out
    /// from it is at hand.
    pub fn share_with(&mut self, before: &Self) {
        self.player.inventory.share_with(&before.player.inventory);
        if self.player.display_name == before.player.display_name {
            self.player.display_name = Arc::clone(&before.player.display_name);
        }
        if self.username == before.username {
            self.username.clone_from(&before.username);
        }
    }
}

impl Store {
    /// The rows of those players that exist, in no particular order.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn load_players(&self, ids: &[Uuid]) -> Result<Vec<PlayerRecord>, Error> {
        let rows = self.query(&LOAD, &[&ids]).await?;
        rows.iter().map(decode).collect()
    }

    /// One player's row, where it exists.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn load_player(&self, id: Uuid) -> Result<Option<PlayerRecord>, Error> {
        self.query(&LOAD_ONE, &[&id]).await?.first().map(decode).transpose()
    }

    /// Those of some players whose rows somebody else holds at this moment.
    ///
    /// # Errors
    /// As every statement's; [`Error::Locked`] where the whole table is held.
    pub async fn held_players(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        let rows = self.query(include_str!("../../sql/queries/players/held.sql"), &[&ids]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Removes a player and all that is held of it, leaving a tombstone with the hash of the request's idempotency key.
    /// Returns whether there was one. For `substitute` see [`Store::end_session`].
    ///
    /// # Errors
    /// As every statement's.
    pub async fn delete_player(
        &self,
        id: Uuid,
        substitute: Option<Timestamp>,
        key_hash: Option<&[u8]>,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        // Once the row is ours nothing more is added to what hangs on it, and the deletion, a statement of its own,
        // sees all that was added before.
        transaction.hold_player(id).await?;
        let sql = include_str!("../../sql/queries/players/delete.sql");
        let deleted = !transaction.query(sql, &[&id, &substitute, &key_hash]).await?.is_empty();
        transaction.commit().await?;
        Ok(deleted)
    }

    /// The hash of the idempotency key of the request that deleted a player, where it was deleted with one.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn deletion_key_hash(&self, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let sql = include_str!("../../sql/queries/players/deletion.sql");
        let row = self.query_opt(sql, &[&id]).await?;
        Ok(row.map(|row| row.try_get("idempotency_key_hash")).transpose()?.flatten())
    }
}

impl Transaction {
    /// Waits for whoever is writing a player, or something of its, and lets nobody else until the transaction ends.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn hold_player(&mut self, id: Uuid) -> Result<(), Error> {
        self.query(include_str!("../../sql/queries/players/hold.sql"), &[&id]).await.map(drop)
    }

    /// Waits for whoever holds a player, and lets nobody hold it until the transaction ends.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn share_player(&mut self, id: Uuid) -> Result<(), Error> {
        self.query(include_str!("../../sql/queries/players/share.sql"), &[&id]).await.map(drop)
    }

    /// As [`Store::load_players`], and nobody else writes the rows until the transaction ends.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn lock_players(&mut self, ids: &[Uuid]) -> Result<Vec<PlayerRecord>, Error> {
        let rows = self.query(&LOCK, &[&ids]).await?;
        rows.iter().map(decode).collect()
    }
}

/// The inventory as the column keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InventoryColumn {
    generators: std::collections::BTreeMap<Slug, u64>,
    upgrades: Vec<Slug>,
}

impl From<&Inventory> for InventoryColumn {
    fn from(inventory: &Inventory) -> Self {
        Self {
            generators: inventory.generators().map(|(id, count)| (id.clone(), count)).collect(),
            upgrades: inventory.upgrades().cloned().collect(),
        }
    }
}

impl From<InventoryColumn> for Inventory {
    fn from(column: InventoryColumn) -> Self {
        let generators = column.generators.into_iter().collect();
        Self::new(generators, column.upgrades)
    }
}

/// Reads the columns that `{{player_columns}}` lists.
pub(super) fn decode(row: &Row) -> Result<PlayerRecord, Error> {
    let created_at = row.try_get("created_at")?;
    let banned_at: Option<Timestamp> = row.try_get("banned_at")?;
    let mut record = PlayerRecord {
        id: row.try_get("player_id")?,
        revision: row.try_get("revision")?,
        username: row.try_get::<_, Option<&str>>("username")?.map(Into::into),
        created_at,
        banned: banned_at.is_some(),
        catalogue_version: 0,
        // Every field of it is replaced.
        player: Player::new(Arc::default(), &Rules::default(), created_at),
    };
    player_columns::read(row, &mut record)?;
    Ok(record)
}

#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::domain::testing::at;

    /// The row of a guest who was just made.
    pub fn guest() -> PlayerRecord {
        PlayerRecord {
            id: Uuid::from_u128(7),
            revision: 1,
            username: None,
            created_at: at(0.0),
            banned: false,
            catalogue_version: 1,
            player: Player::new("Ada".into(), &Rules::default(), at(0.0)),
        }
    }
}
