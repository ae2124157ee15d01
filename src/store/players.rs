//! The rows of players.

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
    /// Increases with every write of the row. A write succeeds only if the row still has the revision that was read.
    pub revision: i64,
    /// The name with which the player signs in; `None` for guests.
    pub username: Option<Arc<str>>,
    pub created_at: Timestamp,
    pub banned: bool,
    /// The catalogue that was in force at the player's `settled_at`.
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
    /// The approximate size on the heap in bytes.
    pub fn heap_bytes(&self) -> usize {
        let name = self.player.display_name.len() + self.username.as_ref().map_or(0, |it| it.len());
        name + self.player.inventory.heap_bytes()
    }

    /// Shares the parts that are equal with an earlier row of the player. This saves memory, and a cached page that was
    /// rendered from the earlier row stays valid, because it is validated by comparing the addresses of these parts.
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
    /// The rows of these players, in any order. Players that do not exist are omitted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn load_players(&self, ids: &[Uuid]) -> Result<Vec<PlayerRecord>, Error> {
        let rows = self.query(&LOAD, &[&ids]).await?;
        rows.iter().map(decode).collect()
    }

    /// The row of a player, if the player exists.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn load_player(&self, id: Uuid) -> Result<Option<PlayerRecord>, Error> {
        self.query(&LOAD_ONE, &[&id]).await?.first().map(decode).transpose()
    }

    /// Those of the players whose rows other transactions have locked at this moment.
    ///
    /// # Errors
    /// Returns [`Error::Locked`] if the whole table is locked, otherwise the error of the statement.
    pub async fn held_players(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        let rows = self.query(include_str!("../../sql/queries/players/held.sql"), &[&ids]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Deletes a player and all its data, and stores a tombstone with the hash of the request's idempotency key.
    /// Returns whether the player existed. For `substitute` see [`Store::end_session`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn delete_player(
        &self,
        id: Uuid,
        substitute: Option<Timestamp>,
        key_hash: Option<&[u8]>,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        // While the row is locked, no other transaction adds data of the player. The deletion is a separate statement,
        // so that its snapshot contains everything that was added before the row was locked.
        transaction.hold_player(id).await?;
        let sql = include_str!("../../sql/queries/players/delete.sql");
        let deleted = !transaction.query(sql, &[&id, &substitute, &key_hash]).await?.is_empty();
        transaction.commit().await?;
        Ok(deleted)
    }

    /// The hash of the idempotency key of the request that deleted a player, if there was one.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn deletion_key_hash(&self, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let sql = include_str!("../../sql/queries/players/deletion.sql");
        let row = self.query_opt(sql, &[&id]).await?;
        Ok(row.map(|row| row.try_get("idempotency_key_hash")).transpose()?.flatten())
    }
}

impl Transaction {
    /// Locks a player for changes of the player and of all its data: waits for transactions that write them, and blocks
    /// new ones until this transaction ends.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn hold_player(&mut self, id: Uuid) -> Result<(), Error> {
        self.query(include_str!("../../sql/queries/players/hold.sql"), &[&id]).await.map(drop)
    }

    /// Prevents other transactions from locking the player by [`Transaction::hold_player`] until this transaction ends.
    /// Waits for a transaction that has locked it already.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn share_player(&mut self, id: Uuid) -> Result<(), Error> {
        self.query(include_str!("../../sql/queries/players/share.sql"), &[&id]).await.map(drop)
    }

    /// As [`Store::load_players`], and locks the rows: no other transaction can write them until this one ends.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn lock_players(&mut self, ids: &[Uuid]) -> Result<Vec<PlayerRecord>, Error> {
        let rows = self.query(&LOCK, &[&ids]).await?;
        rows.iter().map(decode).collect()
    }
}

/// The inventory as it is stored in its column.
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

/// Reads a row with the columns of `{{player_columns}}`.
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
        // A placeholder: `player_columns::read` sets every field.
        player: Player::new(Arc::default(), &Rules::default(), created_at),
    };
    player_columns::read(row, &mut record)?;
    Ok(record)
}

#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::domain::testing::at;

    /// The row of a new guest.
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
