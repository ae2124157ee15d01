//! Authenticating requests.

use uuid::Uuid;

use super::{Accounts, Error};
use crate::domain::Timestamp;
use crate::store::pulse::Reason;

/// A player in one of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub player: Uuid,
    pub session: Uuid,
}

/// The content of a valid access token.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// The player and the session.
    pub identity: Identity,
    /// When the token expires.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Verifies an access token. Runs no query, because revocations are kept in memory.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`], [`Error::TokenExpired`] or [`Error::Banned`].
    pub fn authenticate(&self, token: &str) -> Result<Verified, Error> {
        let verified = self.access_tokens.verify(token, self.clock.now())?;
        self.check_revoked(verified.identity)?;
        Ok(verified)
    }

    /// Checks a token that was verified before: its session and its player must not be revoked.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`] or [`Error::Banned`].
    pub fn check_revoked(&self, identity: Identity) -> Result<(), Error> {
        match self.revocations.reason(identity.player) {
            Some(Reason::PlayerBanned) => return Err(Error::Banned),
            Some(Reason::PlayerDeleted) => return Err(Error::Unauthenticated),
            _ => {}
        }
        if self.revocations.reason(identity.session).is_some() {
            return Err(Error::Unauthenticated);
        }
        Ok(())
    }

    /// The player and session of an access token, even if they are revoked.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`] or [`Error::TokenExpired`].
    pub fn identify(&self, token: &str) -> Result<Identity, Error> {
        Ok(self.access_tokens.verify(token, self.clock.now())?.identity)
    }

    /// A keyed hash (HMAC) that binds opaque values, such as cursors, to a player. Clients cannot forge it.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.access_tokens.tag(purpose, parts)
    }
}
