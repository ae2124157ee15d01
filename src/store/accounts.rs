//! Creates players, and stores the usernames and passwords of those who are not guests.

use uuid::Uuid;

use super::commit::signed;
use super::error::Error;
use super::pool::{Store, Transaction};
use super::sessions::NewSession;
use crate::domain::Timestamp;

/// The constraint that is violated if a username is taken.
pub const USERNAME_TAKEN: &str = "usernames_pkey";

/// A player to create.
#[derive(Clone, Debug)]
pub struct NewPlayer<'a> {
    pub id: Uuid,
    pub display_name: &'a str,
    pub created_at: Timestamp,
    pub accrues_until: Timestamp,
    pub click_tokens: f64,
    pub catalogue_version: u64,
}

/// A username and a password hash.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub username: &'a str,
    /// argon2id in PHC form.
    pub password_hash: &'a str,
}

/// The stored data that signing in with a username needs.
#[derive(Clone, Debug)]
pub struct Account {
    pub player_id: Uuid,
    pub username: String,
    pub password_hash: String,
    pub display_name: String,
    pub banned: bool,
}

impl Store {
    /// Replaces the stored hash `expected` by another `hash` of the same password, for example one with stronger
    /// parameters. Returns false if the stored hash is not `expected`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn renew_hash(
        &self,
        player: Uuid,
        expected: &str,
        hash: &str,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/accounts/renew_hash.sql");
        Ok(self.execute(sql, &[&player, &expected, &hash]).await? > 0)
    }

    /// Creates a player and its first session. Without `credentials` the player is a guest.
    ///
    /// # Errors
    /// Returns [`Error::Constraint`] with [`USERNAME_TAKEN`] if the username is taken, otherwise the error of the
    /// statement.
    pub async fn create_player(
        &self,
        player: &NewPlayer<'_>,
        session: &NewSession,
        credentials: Option<Credentials<'_>>,
    ) -> Result<(), Error> {
        let version = signed(player.catalogue_version);
        let shared: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
            &player.id,
            &player.created_at,
            &player.accrues_until,
            &player.click_tokens,
            &version,
            &player.display_name,
            &session.id,
            &session.chain_key,
            &session.refresh_hash,
            &session.expires_at,
            &session.user_agent,
        ];
        match credentials {
            None => {
                let sql = include_str!("../../sql/queries/accounts/create_guest.sql");
                self.execute(sql, &shared).await?;
            }
            Some(Credentials { username, password_hash }) => {
                let sql = include_str!("../../sql/queries/accounts/create_registered.sql");
                let mut parameters = shared.to_vec();
                parameters.extend([
                    &username as &(dyn tokio_postgres::types::ToSql + Sync),
                    &password_hash,
                ]);
                self.execute(sql, &parameters).await?;
            }
        }
        Ok(())
    }

    /// The account with this username.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_account(&self, username: &str) -> Result<Option<Account>, Error> {
        let sql = include_str!("../../sql/queries/accounts/find_by_username.sql");
        self.query_opt(sql, &[&username]).await?.map(|row| decode(&row)).transpose()
    }

    /// The account of a player; `None` if the player is a guest.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_account_of(&self, player: Uuid) -> Result<Option<Account>, Error> {
        let sql = include_str!("../../sql/queries/accounts/find_by_player.sql");
        self.query_opt(sql, &[&player]).await?.map(|row| decode(&row)).transpose()
    }
}

impl Transaction {
    /// Gives a guest a username and a password, and replaces the display name if `display_name` is given. Returns the
    /// new display name. If the player is not a guest, changes nothing and returns `None`.
    ///
    /// # Errors
    /// Returns [`Error::Constraint`] with [`USERNAME_TAKEN`] if the username is taken, otherwise the error of the
    /// statement.
    pub async fn upgrade_guest(
        &mut self,
        player: Uuid,
        credentials: Credentials<'_>,
        display_name: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let sql = include_str!("../../sql/queries/accounts/upgrade_guest.sql");
        let Credentials { username, password_hash } = credentials;
        let rows =
            self.query(sql, &[&player, &username, &password_hash, &now, &display_name]).await?;
        rows.first().map(|row| Ok(row.try_get("display_name")?)).transpose()
    }

    /// Replaces the stored hash `expected` by the `hash` of a new password. Returns false if the stored hash is not
    /// `expected`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn change_password(
        &mut self,
        player: Uuid,
        expected: &str,
        hash: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/accounts/change_password.sql");
        Ok(!self.query(sql, &[&player, &expected, &hash, &now]).await?.is_empty())
    }
}

fn decode(row: &tokio_postgres::Row) -> Result<Account, Error> {
    Ok(Account {
        player_id: row.try_get("player_id")?,
        username: row.try_get("username")?,
        password_hash: row.try_get("password_hash")?,
        display_name: row.try_get("display_name")?,
        banned: row.try_get("banned")?,
    })
}
