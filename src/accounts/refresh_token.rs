//! Refresh tokens: opaque to clients, stored as a hash, each valid for one successor.
//!
//! A token consists of the player's id, the session's id, a generation, and a secret. The first secret is random. Each
//! further secret is the HMAC of the previous one with the session's chain key, which clients never receive. Therefore
//! - the same successor can be issued again after an answer was lost, although only a hash is stored;
//! - an attacker who has stolen one token cannot calculate the next one;
//! - the server can distinguish an old token from a forged one: it calculates the successors of the token and compares
//!   their hash with the stored one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::Identity;

const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const TOKEN_BYTES: usize = 2 * ID_BYTES + 4 + SECRET_BYTES;

/// A parsed refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefreshToken {
    pub(super) identity: Identity,
    pub(super) generation: u32,
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// The first token of a session.
    pub(super) fn first(identity: Identity) -> Self {
        Self { identity, generation: 0, secret: rand::random() }
    }

    /// The token that replaces this one.
    pub(super) fn successor(&self, chain_key: &[u8]) -> Self {
        self.after(1, chain_key)
    }

    /// The token that results after `steps` refreshes.
    fn after(&self, steps: u32, chain_key: &[u8]) -> Self {
        let keyed = Hmac::<Sha256>::new_from_slice(chain_key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        let secret = (0..steps).fold(self.secret, |secret, _| {
            let mut mac = keyed.clone();
            mac.update(&secret);
            mac.finalize().into_bytes().into()
        });
        let generation = self.generation.saturating_add(steps);
        Self { identity: self.identity, generation, secret }
    }

    /// The hash that is stored. SHA-256 without a salt suffices, because a secret of 256 random bits cannot be guessed.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// Whether `hash` is the hash of this token.
    pub(super) fn matches(&self, hash: &[u8]) -> bool {
        self.hash().as_slice().ct_eq(hash).into()
    }

    /// Whether this token results in the one with this `hash` after `steps` refreshes. Each step costs one HMAC.
    pub(super) fn leads_to(&self, chain_key: &[u8], steps: u32, hash: &[u8]) -> bool {
        self.after(steps, chain_key).matches(hash)
    }

    /// The token as text.
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(self.identity.player.as_bytes());
        bytes.extend_from_slice(self.identity.session.as_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses a token; `None` if the text is not a well-formed token.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == TOKEN_BYTES)?;
        let (player, rest) = bytes.split_first_chunk::<ID_BYTES>()?;
        let (session, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (generation, secret) = rest.split_first_chunk::<4>()?;
        Some(Self {
            identity: Identity {
                player: Uuid::from_bytes(*player),
                session: Uuid::from_bytes(*session),
            },
            generation: u32::from_be_bytes(*generation),
            secret: secret.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> RefreshToken {
        RefreshToken::first(Identity {
            player: Uuid::from_u128(rand::random()),
            session: uuid::Uuid::from_u128(rand::random()),
        })
    }

    #[test]
    fn an_encoded_token_is_decoded() {
        let token = token().successor(b"key");
        assert_eq!(RefreshToken::decode(&token.encode()), Some(token));
        assert_eq!(RefreshToken::decode("short"), None);
        assert_eq!(RefreshToken::decode(&"A".repeat(200)), None);
    }

    #[test]
    fn a_successor_is_deterministic_and_depends_on_the_chain_key() {
        let token = token();
        assert_eq!(token.successor(b"key"), token.successor(b"key"));
        assert_ne!(token.successor(b"key").secret, token.successor(b"other").secret);
    }

    #[test]
    fn an_old_token_is_distinguished_from_a_forged_one() {
        let first = token();
        let third = first.successor(b"key").successor(b"key");
        assert_eq!(third.generation, 2);
        assert!(first.leads_to(b"key", 2, &third.hash()));
        let forged = RefreshToken { secret: rand::random(), ..first.clone() };
        assert!(!forged.leads_to(b"key", 2, &third.hash()));
        assert!(!first.leads_to(b"key", 1, &third.hash()));
        assert!(!first.leads_to(b"key", 3, &third.hash()));
    }
}
