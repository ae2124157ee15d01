//! Display names in the case-folded form that searches compare.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::text;

const NOTE_FOLDED: &str = include_str!("../../sql/queries/names/note_folded.sql");

/// A player's display name.
#[derive(Clone, Debug)]
pub struct NamedPlayer {
    pub id: Uuid,
    pub display_name: String,
}

/// Display names and their case-folded forms, in three lists of the same length.
#[derive(Clone, Debug, Default)]
pub struct FoldedNames {
    pub players: Vec<Uuid>,
    pub display_names: Vec<String>,
    pub folded: Vec<String>,
}

impl FoldedNames {
    /// Folds the display names of players.
    pub fn of(players: Vec<NamedPlayer>) -> Self {
        let mut names = Self::default();
        for NamedPlayer { id, display_name } in players {
            names.players.push(id);
            names.folded.push(text::folded(&display_name));
            names.display_names.push(display_name);
        }
        names
    }

    /// The parameters of [`NOTE_FOLDED`].
    fn columns(&self) -> [&(dyn ToSql + Sync); 3] {
        [&self.players, &self.display_names, &self.folded]
    }
}

impl Store {
    /// Up to `limit` players after `after`, in the order of ids, whose display name needs a folded form that is not
    /// stored yet.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_unfolded_names(
        &self,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<NamedPlayer>, Error> {
        let sql = include_str!("../../sql/queries/names/find_unfolded.sql");
        let rows = self.query(sql, &[&after, &limit]).await?;
        let players = rows.iter().map(|row| {
            Ok(NamedPlayer {
                id: row.try_get("player_id")?,
                display_name: row.try_get("display_name")?,
            })
        });
        players.collect()
    }

    /// Stores the folded forms of display names. Skips players whose display name is no longer the given one.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_folded_names(&self, names: &FoldedNames) -> Result<(), Error> {
        self.execute(NOTE_FOLDED, &names.columns()).await.map(drop)
    }
}

impl Transaction {
    /// As [`Store::note_folded_names`], as part of a job's transaction.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_folded_names(&mut self, names: &FoldedNames) -> Result<(), Error> {
        self.execute(NOTE_FOLDED, &names.columns()).await.map(drop)
    }

    /// Deletes folded forms that do not belong to a player's current display name.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_folded_names(&mut self) -> Result<(), Error> {
        self.execute(include_str!("../../sql/queries/names/purge.sql"), &[]).await.map(drop)
    }
}
