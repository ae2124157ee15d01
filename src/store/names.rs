//! Display names in the form that searches compare.

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

/// Folded display names, in parallel lists.
#[derive(Clone, Debug, Default)]
pub struct FoldedNames {
    pub players: Vec<Uuid>,
    pub display_names: Vec<String>,
    pub folded: Vec<String>,
}

impl FoldedNames {
    /// The folded forms of display names.
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
    /// Up to `limit` players after `after`, in the order of ids, whose display name has no folded form yet.
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

    /// Stores the folded forms of display names. A player whose name has changed meanwhile is skipped.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_folded_names(&self, names: &FoldedNames) -> Result<(), Error> {
        self.execute(NOTE_FOLDED, &names.columns()).await.map(drop)
    }
}

impl Transaction {
    /// As [`Store::note_folded_names`], as part of a job.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_folded_names(&mut self, names: &FoldedNames) -> Result<(), Error> {
        self.execute(NOTE_FOLDED, &names.columns()).await.map(drop)
    }

    /// Deletes the folded forms of names that no player has any more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_folded_names(&mut self) -> Result<(), Error> {
        self.execute(include_str!("../../sql/queries/names/purge.sql"), &[]).await.map(drop)
    }
}
