//! Who a request comes from.

use uuid::Uuid;

use super::{Accounts, Error};
use crate::store::pulse::Reason;

/// A player in one of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub player: Uuid,
    pub session: Uuid,
}

impl Accounts {
    /// Who an access token speaks for. Asks no store: what has been revoked is known in memory.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::TokenExpired`] or [`Error::Banned`].
    pub fn authenticate(&self, token: &str) -> Result<Identity, Error> {
        let identity = self.identify(token)?;
        match self.revocations.reason(identity.player) {
            Some(Reason::PlayerBanned) => return Err(Error::Banned),
            Some(Reason::PlayerDeleted) => return Err(Error::Unauthenticated),
            _ => {}
        }
        if self.revocations.reason(identity.session).is_some() {
            return Err(Error::Unauthenticated);
        }
        Ok(identity)
    }

    /// Who an access token was made for, be it revoked since.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] or [`Error::TokenExpired`].
    pub fn identify(&self, token: &str) -> Result<Identity, Error> {
        self.access_tokens.verify(token, self.clock.now())
    }

    /// A tag that only this server can make, to bind opaque values such as cursors to a player.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.access_tokens.tag(purpose, parts)
    }
}
