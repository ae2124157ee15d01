//! Signing in: as a guest, with a new username, or with an existing one.

use uuid::Uuid;

use super::names::guest_name;
use super::password::Match;
use super::{Accounts, Error, Identity, Password, Tokens};
use crate::domain::Player;
use crate::id::new_id;
use crate::store::accounts::{Account, Credentials, NewPlayer, USERNAME_TAKEN};
use crate::store::sessions::NewSession;

/// A player who has just signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub player: Uuid,
    pub display_name: String,
    /// `None` for guests.
    pub username: Option<String>,
    pub tokens: Tokens,
}

/// The validated content of a registration.
#[derive(Clone, Debug)]
pub struct Registration {
    pub username: String,
    pub password: Password,
    pub display_name: Option<String>,
}

impl Accounts {
    /// Creates a guest.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn create_guest(&self, user_agent: Option<&str>) -> Result<SignedIn, Error> {
        self.create(guest_name(), None, user_agent).await
    }

    /// Creates a player with a username.
    ///
    /// # Errors
    /// Returns [`Error::UsernameTaken`].
    pub async fn register(
        &self,
        registration: Registration,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        let Registration { username, password, display_name } = registration;
        // Hashing is expensive, so a username that is already taken is refused before the password is hashed.
        if self.store.find_account(&username).await?.is_some() {
            return Err(Error::UsernameTaken);
        }
        let hash = self.hasher.hash(password).await?;
        let display_name = display_name.unwrap_or_else(|| username.clone());
        self.create(display_name, Some((username, hash)), user_agent).await
    }

    async fn create(
        &self,
        display_name: String,
        credentials: Option<(String, String)>,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        let timeline = self.catalogues.timeline()?;
        let now = self.clock.now();
        let id = new_id(now);
        let player = Player::new(display_name.as_str().into(), &timeline.rules, now);
        let (session, tokens) = self.draft_session(id, user_agent, now)?;
        let new = NewPlayer {
            id,
            display_name: &player.display_name,
            created_at: now,
            accrues_until: player.accrues_until(&player.production(&timeline, now)),
            click_tokens: player.clicks.tokens,
            catalogue_version: timeline.at(now).version,
        };
        let stored = credentials
            .as_ref()
            .map(|(username, password_hash)| Credentials { username, password_hash });
        self.store.create_player(&new, &session, stored).await.map_err(map_username_taken)?;
        Ok(SignedIn {
            player: id,
            display_name,
            username: credentials.map(|(username, _)| username),
            tokens,
        })
    }

    /// Gives a guest a username and a password, keeps its progress, and ends its other sessions. A repeat with the same
    /// username and password succeeds again.
    ///
    /// # Errors
    /// Returns [`Error::UsernameTaken`] or [`Error::AlreadyRegistered`].
    pub async fn upgrade_guest(
        &self,
        guest: Identity,
        registration: Registration,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        if let Some(account) = self.store.find_account_of(guest.player).await? {
            return self.upgrade_again(account, registration, user_agent).await;
        }
        let Registration { username, password, display_name } = registration.clone();
        let hash = self.hasher.hash(password).await?;
        let now = self.clock.now();
        let (session, tokens) = self.draft_session(guest.player, user_agent, now)?;
        let credentials = Credentials { username: &username, password_hash: &hash };
        let guard = self.players.invalidate(guest.player);
        let mut transaction = self.store.begin().await?;
        let upgraded = transaction
            .upgrade_guest(guest.player, credentials, display_name.as_deref(), now)
            .await;
        match upgraded {
            Ok(Some(display_name)) => {
                let kept = [guest.session];
                let ended = transaction
                    .end_other_sessions(guest.player, &kept, self.clock.substitute())
                    .await?;
                if !transaction.create_session(guest.player, &session, None).await? {
                    transaction.rollback().await?;
                    guard.confirm();
                    return Err(Error::Banned);
                }
                transaction.commit().await?;
                guard.confirm();
                self.note_ended(&ended);
                Ok(SignedIn {
                    player: guest.player,
                    display_name,
                    username: Some(username),
                    tokens,
                })
            }
            Ok(None) => {
                transaction.rollback().await?;
                guard.confirm();
                let account = self.store.find_account_of(guest.player).await?;
                // A player that is not a guest and has no account was deleted.
                let account = account.ok_or(Error::Unauthenticated)?;
                self.upgrade_again(account, registration, user_agent).await
            }
            Err(error) => {
                transaction.rollback().await?;
                guard.confirm();
                Err(map_username_taken(error))
            }
        }
    }

    /// The player is already registered: this request is a repeat whose first answer was lost, or another request was
    /// faster. Signs in if username and password are those of the account.
    async fn upgrade_again(
        &self,
        account: Account,
        registration: Registration,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        let account = Some(account).filter(|it| it.username == registration.username);
        match self.verify_password(account, registration.password).await? {
            Some(account) => self.sign_in(account, user_agent).await,
            None => Err(Error::AlreadyRegistered),
        }
    }

    /// Signs in with a username. An unknown username and a wrong password have the same answer after about the same
    /// time.
    ///
    /// # Errors
    /// Returns [`Error::InvalidCredentials`] or [`Error::Banned`].
    pub async fn login(
        &self,
        username: Option<&str>,
        password: Password,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        let account = match username {
            Some(username) => self.store.find_account(username).await?,
            None => None,
        };
        let account =
            self.verify_password(account, password).await?.ok_or(Error::InvalidCredentials)?;
        self.sign_in(account, user_agent).await
    }

    /// Returns the account if the password is correct. Without an account it takes as long and returns `None`, so that
    /// the response time does not reveal which usernames exist. If the stored hash is that of the typed form, it is
    /// replaced by the hash of the composed form.
    pub(super) async fn verify_password(
        &self,
        account: Option<Account>,
        password: Password,
    ) -> Result<Option<Account>, Error> {
        let hash = account.as_ref().map(|it| it.password_hash.clone());
        let found = self.hasher.verify(password.clone(), hash).await?;
        let Some(account) = account.filter(|_| found != Match::Wrong) else { return Ok(None) };
        if found == Match::Correct {
            return Ok(Some(account));
        }
        let hash = self.hasher.hash(password.clone()).await?;
        if self.store.renew_hash(account.player_id, &account.password_hash, &hash).await? {
            return Ok(Some(Account { password_hash: hash, ..account }));
        }
        // Another request has replaced the hash: a sign-in with the same password, or a change of the password.
        let account = self.store.find_account(&account.username).await?;
        let hash = account.as_ref().map(|it| it.password_hash.clone());
        let found = self.hasher.verify(password, hash).await?;
        Ok(account.filter(|_| found == Match::Correct))
    }

    async fn sign_in(&self, account: Account, user_agent: Option<&str>) -> Result<SignedIn, Error> {
        if account.banned {
            return Err(Error::Banned);
        }
        let now = self.clock.now();
        let (session, tokens) = self.draft_session(account.player_id, user_agent, now)?;
        self.begin_session(&account, &session).await?;
        Ok(SignedIn {
            player: account.player_id,
            display_name: account.display_name,
            username: Some(account.username),
            tokens,
        })
    }

    async fn begin_session(&self, account: &Account, session: &NewSession) -> Result<(), Error> {
        // No session is created if the player was deleted or banned, or its password was changed, after the account was
        // read. Such a change and this transaction lock the player's row, and their locks exclude each other. So the
        // change is committed either before this statement, which then detects it, or after it, and then it ends this
        // session.
        let mut transaction = self.store.begin().await?;
        transaction.share_player(account.player_id).await?;
        let hash = Some(account.password_hash.as_str());
        let begun = transaction.create_session(account.player_id, session, hash).await?;
        transaction.commit().await?;
        begun.then_some(()).ok_or(Error::InvalidCredentials)
    }
}

fn map_username_taken(error: crate::store::Error) -> Error {
    if error.is_constraint(USERNAME_TAKEN) { Error::UsernameTaken } else { error.into() }
}
