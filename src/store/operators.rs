//! Statements for operators: searching players, bans and the audit log.

use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::{Timestamp, text};

const AUDIT: &str = include_str!("../../sql/queries/operators/audit.sql");

/// A player in the result of a search.
#[derive(Clone, Debug)]
pub struct FoundPlayer {
    pub id: Uuid,
    pub display_name: String,
    pub username: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub banned_at: Option<Timestamp>,
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub action: String,
    pub detail: Value,
}

impl Store {
    /// Up to `limit` players with ids below `before`, newest first, whose id is `text`, whose username begins with it,
    /// or whose display name contains it, ignoring case. Display names are compared in the case-folded form that
    /// [`Store::note_folded_names`] stores.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn search_players(
        &self,
        text: &str,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<FoundPlayer>, Error> {
        let id = Uuid::parse_str(text).ok();
        let sql = include_str!("../../sql/queries/operators/search_players.sql");
        let (username, name) = (text.to_ascii_lowercase(), text::folded(text));
        let rows = self.query(sql, &[&id, &username, &name, &before, &limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(FoundPlayer {
                    id: row.try_get("player_id")?,
                    display_name: row.try_get("display_name")?,
                    username: row.try_get("username")?,
                    created_at: row.try_get("created_at")?,
                    last_seen_at: row.try_get("last_seen_at")?,
                    banned_at: row.try_get("banned_at")?,
                })
            })
            .collect()
    }

    /// Bans or unbans a player, and inserts an audit entry and a revocation, from which the instances learn of the
    /// change. Returns the number of the revocation, or `None` if nothing changed. For `substitute` see [`Store::end_session`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn set_banned(
        &self,
        player: Uuid,
        banned: bool,
        substitute: Option<Timestamp>,
        detail: &Value,
    ) -> Result<Option<i64>, Error> {
        let sql = include_str!("../../sql/queries/operators/set_banned.sql");
        let row = self.query_opt(sql, &[&player, &banned, &substitute, &detail]).await?;
        row.map(|row| Ok(row.try_get("revocation_id")?)).transpose()
    }

    /// Inserts an audit entry.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn audit(
        &self,
        now: Timestamp,
        action: &str,
        player: Option<Uuid>,
        detail: &Value,
    ) -> Result<(), Error> {
        self.execute(AUDIT, &[&now, &action, &player, &detail]).await.map(drop)
    }

    /// The audit entries about a player, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn audit_of(&self, player: Uuid) -> Result<Vec<AuditEntry>, Error> {
        let sql = include_str!("../../sql/queries/operators/audit_of_player.sql");
        let rows = self.query(sql, &[&player]).await?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    at: row.try_get("at")?,
                    action: row.try_get("action")?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    }
}

impl Transaction {
    /// As [`Store::audit`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn audit(
        &mut self,
        now: Timestamp,
        action: &str,
        player: Option<Uuid>,
        detail: &Value,
    ) -> Result<(), Error> {
        self.execute(AUDIT, &[&now, &action, &player, &detail]).await.map(drop)
    }
}
