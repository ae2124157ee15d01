//! Deleting an account permanently.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Accounts, Error};
use crate::store::idempotency::Keys;
use crate::store::pulse::Reason;

/// How many bytes of a key's hash are stored with an outcome.
const KEY_HASH_BYTES: usize = 16;

impl Accounts {
    /// Deletes a player and all its data. `key` is the request's idempotency key.
    ///
    /// # Errors
    /// Returns [`Error::Unauthenticated`] if the player no longer exists, or [`Error::KeyReused`] if the key belongs to
    /// another request.
    pub async fn delete_player(&self, player: Uuid, key: Option<&str>) -> Result<(), Error> {
        let now = self.clock.now();
        let hash = key.map(Sha256::digest);
        // A deletion stores its key elsewhere (`was_deleted_by`), so a record with this key belongs to another request.
        let mut keys = Keys::default();
        if let Some(prefix) = hash.as_ref().and_then(|hash| hash.get(..KEY_HASH_BYTES)) {
            keys.push(player, prefix);
        }
        if !self.store.find_records(&keys, now).await?.is_empty() {
            return Err(Error::KeyReused);
        }
        let guard = self.players.invalidate(player);
        let deleted = self.store.delete_player(player, self.clock.substitute(), hash.as_deref());
        if !deleted.await? {
            guard.confirm();
            return Err(Error::Unauthenticated);
        }
        guard.confirm_deleted();
        self.revocations.note_final(player, Reason::PlayerDeleted, now);
        Ok(())
    }

    /// Whether the request with this idempotency key deleted the player.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn was_deleted_by(&self, player: Uuid, key: &str) -> Result<bool, Error> {
        let stored = self.store.deletion_key_hash(player).await?;
        Ok(stored.is_some_and(|hash| Sha256::digest(key).as_slice().ct_eq(&hash).into()))
    }
}
