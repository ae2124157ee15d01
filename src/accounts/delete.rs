//! Deleting an account, for good.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Accounts, Error};
use crate::store::pulse::Reason;

impl Accounts {
    /// Removes a player with all that is held of it. `key` is the request's idempotency key.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where there is no such player any more.
    pub async fn delete_player(&self, player: Uuid, key: Option<&str>) -> Result<(), Error> {
        let now = self.clock.now();
        let hash = key.map(Sha256::digest);
        let deleted = self.store.delete_player(player, now, hash.as_deref());
        if !deleted.await? {
            return Err(Error::Unauthenticated);
        }
        self.revocations.note(player, Reason::PlayerDeleted, now);
        Ok(())
    }

    /// Whether a request with that idempotency key is what deleted the player.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn was_deleted_by(&self, player: Uuid, key: &str) -> Result<bool, Error> {
        let stored = self.store.deletion_key_hash(player).await?;
        Ok(stored.is_some_and(|hash| Sha256::digest(key).as_slice().ct_eq(&hash).into()))
    }
}
