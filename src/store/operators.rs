//! What operators look for and change.

use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::pool::Store;
use crate::domain::{Timestamp, text};

/// A player as a search lists it.
#[derive(Clone, Debug)]
pub struct FoundPlayer {
    pub id: Uuid,
    pub display_name: String,
    pub username: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub banned_at: Option<Timestamp>,
}

/// What an operator did.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub action: String,
    pub detail: Value,
}

impl Store {
    /// Up to `limit` players whose id is `text`, whose username begins with it or whose display name holds it, in any case,
    /// newest first, from below `before` on. Display names are found as [`Store::note_folded_names`] noted them.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Bans or unbans a player, notes it and tells the instances. Returns false where it was so already. For `substitute` see
    /// [`Store::end_session`].
    ///
    /// # Errors
    /// As every statement's.
    pub async fn set_banned(
        &self,
        player: Uuid,
        banned: bool,
        substitute: Option<Timestamp>,
        detail: &Value,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/operators/set_banned.sql");
        Ok(self.execute(sql, &[&player, &banned, &substitute, &detail]).await? > 0)
    }

    /// Notes what an operator changed.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn audit(
        &self,
        now: Timestamp,
        action: &str,
        player: Option<Uuid>,
        detail: &Value,
    ) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/operators/audit.sql");
        self.execute(sql, &[&now, &action, &player, &detail]).await?;
        Ok(())
    }

    /// What operators did to a player, newest first.
    ///
    /// # Errors
    /// As every statement's.
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
