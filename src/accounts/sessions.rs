//! Sessions: their tokens, refreshing and ending them.

use uuid::Uuid;

use super::refresh_token::RefreshToken;
use super::{Accounts, Error, Identity, Tokens};
use crate::domain::Timestamp;
use crate::id::new_id;
use crate::store::pulse::Reason;
use crate::store::sessions::{ListedSession, NewSession};

/// Seconds after a refresh during which the replaced token still returns its successor.
const REPEAT_SECONDS: f64 = 30.0;

/// How many characters of a user agent are stored.
const MAX_USER_AGENT_LENGTH: usize = 200;

impl Accounts {
    /// A session that is not stored yet, and its tokens.
    pub(super) fn draft_session(
        &self,
        player: Uuid,
        user_agent: Option<&str>,
        now: Timestamp,
    ) -> Result<(NewSession, Tokens), Error> {
        let identity = Identity { player, session: new_id(now) };
        let refresh_token = RefreshToken::first(identity);
        let session = NewSession {
            id: identity.session,
            chain_key: rand::random::<[u8; 32]>().to_vec(),
            refresh_hash: refresh_token.hash().to_vec(),
            created_at: now,
            expires_at: now.plus_seconds(self.session_ttl.as_secs_f64()),
            user_agent: user_agent.map(|text| text.chars().take(MAX_USER_AGENT_LENGTH).collect()),
        };
        Ok((session, self.tokens(identity, &refresh_token, now)?))
    }

    fn tokens(
        &self,
        identity: Identity,
        refresh_token: &RefreshToken,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        Ok(Tokens {
            access_token: self.access_tokens.issue(identity, now)?,
            expires_in: self.access_tokens.ttl(),
            refresh_token: refresh_token.encode(),
        })
    }

    /// Issues new tokens for a refresh token. A repeat within 30 s returns the same successor, as long as the successor
    /// is unused. Any other repeat means that two clients have the token, and ends the session.
    ///
    /// Two clients with the same token are not detected while both always refresh within 30 s of each other: both then
    /// get the same tokens, like two tabs of one browser. A refresh with the old token after these 30 s, or after the
    /// successor was used, ends the session.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`], [`Error::TokenExpired`] or [`Error::Banned`].
    pub async fn refresh(&self, text: &str) -> Result<Tokens, Error> {
        let token = RefreshToken::decode(text).ok_or(Error::Unauthenticated)?;
        // If two requests refresh at the same time, the update of one fails. In the next round it finds the token
        // replaced and returns its successor.
        for _ in 0..3 {
            if let Some(tokens) = self.try_refresh(&token).await? {
                return Ok(tokens);
            }
        }
        Err(Error::Unauthenticated)
    }

    async fn try_refresh(&self, token: &RefreshToken) -> Result<Option<Tokens>, Error> {
        let Identity { player, session } = token.identity;
        let found = self.store.find_session(player, session).await?;
        let stored = found.ok_or(Error::Unauthenticated)?;
        let now = self.clock.now();
        let successor = token.successor(&stored.chain_key);
        if token.matches(&stored.refresh_hash) {
            if stored.banned {
                return Err(Error::Banned);
            }
            if now >= stored.expires_at {
                return Err(Error::TokenExpired);
            }
            let expires_at = now.plus_seconds(self.session_ttl.as_secs_f64());
            let (old, new) = (token.hash(), successor.hash());
            let rotated =
                self.store.rotate_session(player, session, &old, &new, now, expires_at).await?;
            return rotated.then(|| self.tokens(token.identity, &successor, now)).transpose();
        }
        let replaced_just_now = successor.matches(&stored.refresh_hash)
            && now.seconds_since(stored.rotated_at) <= REPEAT_SECONDS;
        if replaced_just_now {
            if stored.banned {
                return Err(Error::Banned);
            }
            return self.tokens(token.identity, &successor, now).map(Some);
        }
        if self.reuse_checks.is_reused(token, &stored, now).await? {
            tracing::warn!(
                player.id = %player,
                "a replaced refresh token was reused, or too many forged ones were sent; the session ends"
            );
            self.log_out(token.identity).await?;
        }
        Err(Error::Unauthenticated)
    }

    /// A player's sessions, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn sessions(&self, player: Uuid) -> Result<Vec<ListedSession>, Error> {
        Ok(self.store.list_sessions(player, self.clock.now()).await?)
    }

    /// Ends one of a player's sessions. Its tokens are rejected by this instance at once and by others within two
    /// seconds.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchSession`].
    pub async fn end_session(&self, player: Uuid, session: Uuid) -> Result<(), Error> {
        if !self.store.end_session(player, session, self.clock.substitute()).await? {
            return Err(Error::NoSuchSession);
        }
        self.note_ended(&[session]);
        Ok(())
    }

    /// Ends the session of the request. It is not an error if the session has already ended.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn log_out(&self, identity: Identity) -> Result<(), Error> {
        match self.end_session(identity.player, identity.session).await {
            Err(Error::NoSuchSession) => Ok(()),
            result => result,
        }
    }

    /// Ends the session of a refresh token. If the token is not valid any more, there is nothing to end.
    ///
    /// # Errors
    /// Returns the error of a statement.
    pub async fn log_out_with(&self, text: &str) -> Result<(), Error> {
        match (self.refresh(text).await, RefreshToken::decode(text)) {
            (Ok(_), Some(token)) => self.log_out(token.identity).await,
            (Ok(_) | Err(Error::Unauthenticated | Error::TokenExpired | Error::Banned), _) => {
                Ok(())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Ends all sessions of a player except that of the request.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn end_other_sessions(&self, identity: Identity) -> Result<(), Error> {
        let (kept, substitute) = ([identity.session], self.clock.substitute());
        let ended = self.store.end_other_sessions(identity.player, &kept, substitute).await?;
        self.note_ended(&ended);
        Ok(())
    }

    pub(super) fn note_ended(&self, sessions: &[Uuid]) {
        let now = self.clock.now();
        for &session in sessions {
            self.revocations.note_final(session, Reason::SessionEnded, now);
        }
    }
}
