//! Access tokens that were found to be ours, so that a player who comes back every second has its token checked once.

use std::hash::{BuildHasher, RandomState};

use moka::sync::Cache;

use super::Identity;

/// Tokens remembered. One takes some hundred bytes.
const CAPACITY: u64 = 50_000;

/// A token's content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// Seconds since the Unix epoch at which it expires.
    pub(super) expires_at: i64,
}

/// Tokens by what they hash to. Two hashes of 64 bits under keys that nobody knows: whoever guesses a token that meets
/// another's could guess its signature as well.
#[derive(Debug)]
pub(super) struct VerifiedTokens {
    tokens: Cache<[u64; 2], Verified>,
    keys: [RandomState; 2],
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        Self { tokens: Cache::new(CAPACITY), keys }
    }
}

impl VerifiedTokens {
    /// The content of a token, remembered or else from `verify`, which is remembered where it is ours.
    pub(super) fn get_or<E>(
        &self,
        token: &str,
        verify: impl FnOnce() -> Result<Verified, E>,
    ) -> Result<Verified, E> {
        let hash = [self.keys[0].hash_one(token), self.keys[1].hash_one(token)];
        if let Some(verified) = self.tokens.get(&hash) {
            return Ok(verified);
        }
        let verified = verify()?;
        self.tokens.insert(hash, verified);
        Ok(verified)
    }
}
