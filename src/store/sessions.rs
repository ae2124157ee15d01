//! Sessions, and the revocations that end them on all instances.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;

/// A session to create.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: Uuid,
    /// The secret with which the next refresh token is derived from the current one.
    pub chain_key: Vec<u8>,
    pub refresh_hash: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub user_agent: Option<String>,
}

/// The stored data that refreshing a session needs.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    pub chain_key: Vec<u8>,
    pub refresh_hash: Vec<u8>,
    /// How many times the refresh token was replaced.
    pub generation: i32,
    pub rotated_at: Timestamp,
    pub expires_at: Timestamp,
    /// Whether the player is banned.
    pub banned: bool,
}

/// A session in the list that the API returns to its player.
#[derive(Clone, Debug)]
pub struct ListedSession {
    pub id: Uuid,
    pub created_at: Timestamp,
    /// When the refresh token was last replaced.
    pub refreshed_at: Timestamp,
    pub expires_at: Timestamp,
    pub user_agent: Option<String>,
}

impl Store {
    /// A session that has not ended.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_session(
        &self,
        player: Uuid,
        session: Uuid,
    ) -> Result<Option<SessionRecord>, Error> {
        let sql = include_str!("../../sql/queries/sessions/find.sql");
        let row = self.query_opt(sql, &[&player, &session]).await?;
        row.map(|row| {
            Ok(SessionRecord {
                chain_key: row.try_get("chain_key")?,
                refresh_hash: row.try_get("refresh_hash")?,
                generation: row.try_get("generation")?,
                rotated_at: row.try_get("rotated_at")?,
                expires_at: row.try_get("expires_at")?,
                banned: row.try_get("banned")?,
            })
        })
        .transpose()
    }

    /// A player's sessions that have not expired, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_sessions(
        &self,
        player: Uuid,
        now: Timestamp,
    ) -> Result<Vec<ListedSession>, Error> {
        let sql = include_str!("../../sql/queries/sessions/list.sql");
        let rows = self.query(sql, &[&player, &now]).await?;
        rows.iter()
            .map(|row| {
                Ok(ListedSession {
                    id: row.try_get("session_id")?,
                    created_at: row.try_get("created_at")?,
                    refreshed_at: row.try_get("rotated_at")?,
                    expires_at: row.try_get("expires_at")?,
                    user_agent: row.try_get("user_agent")?,
                })
            })
            .collect()
    }

    /// Replaces the hash of the refresh token. Returns false if the stored hash is not `expected_hash`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn rotate_session(
        &self,
        player: Uuid,
        session: Uuid,
        expected_hash: &[u8],
        hash: &[u8],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/sessions/rotate.sql");
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&player, &session, &expected_hash, &hash, &now, &expires_at];
        Ok(self.execute(sql, &parameters).await? > 0)
    }

    /// Ends a session and inserts a revocation. Returns whether the session existed. The revocation gets the database's
    /// time, or `substitute` in tests, whose clock differs from the database's.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn end_session(
        &self,
        player: Uuid,
        session: Uuid,
        substitute: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/sessions/end_one.sql");
        Ok(self.execute(sql, &[&player, &session, &substitute]).await? > 0)
    }

    /// Ends all sessions of a player except `kept`. Returns the ended sessions. For `substitute` see
    /// [`Store::end_session`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn end_other_sessions(
        &self,
        player: Uuid,
        kept: &[Uuid],
        substitute: Option<Timestamp>,
    ) -> Result<Vec<Uuid>, Error> {
        ids(&self.query(END_OTHERS, &[&player, &kept, &substitute]).await?)
    }
}

impl Transaction {
    /// Adds a session. Returns false if the player does not exist or is banned, or if `password_hash` is given and
    /// differs from the stored one.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn create_session(
        &mut self,
        player: Uuid,
        session: &NewSession,
        password_hash: Option<&str>,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/sessions/create.sql");
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &player,
            &session.id,
            &session.chain_key,
            &session.refresh_hash,
            &session.created_at,
            &session.expires_at,
            &session.user_agent,
            &password_hash,
        ];
        Ok(!self.query(sql, &parameters).await?.is_empty())
    }

    /// As [`Store::end_other_sessions`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn end_other_sessions(
        &mut self,
        player: Uuid,
        kept: &[Uuid],
        substitute: Option<Timestamp>,
    ) -> Result<Vec<Uuid>, Error> {
        ids(&self.query(END_OTHERS, &[&player, &kept, &substitute]).await?)
    }
}

const END_OTHERS: &str = include_str!("../../sql/queries/sessions/end_others.sql");

fn ids(rows: &[tokio_postgres::Row]) -> Result<Vec<Uuid>, Error> {
    rows.iter().map(|row| Ok(row.try_get("session_id")?)).collect()
}
