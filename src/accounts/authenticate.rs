//! Who a request comes from.

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

/// What an access token says.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// Whom it was made for.
    pub identity: Identity,
    /// From when on it does not hold any more.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Who an access token speaks for. Asks no store: what has been revoked is known in memory.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::TokenExpired`] or [`Error::Banned`].
    pub fn authenticate(&self, token: &str) -> Result<Verified, Error> {
        let verified = self.access_tokens.verify(token, self.clock.now())?;
        self.check_revoked(verified.identity)?;
        Ok(verified)
    }

    /// Whether whoever was let in before may still come in.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] or [`Error::Banned`].
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

    /// Who an access token was made for, be it revoked since.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] or [`Error::TokenExpired`].
    pub fn identify(&self, token: &str) -> Result<Identity, Error> {
        Ok(self.access_tokens.verify(token, self.clock.now())?.identity)
    }

    /// A tag that only this server can make, to bind opaque values such as cursors to a player.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.access_tokens.tag(purpose, parts)
    }
}
