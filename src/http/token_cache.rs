//! The access tokens that a worker thread has verified, each with its player's cache handle. A client sends the same
//! token with every request, so most requests need neither a signature check nor a cache lookup. Each thread has its
//! own token cache, which therefore needs no lock.

use std::cell::RefCell;

use foldhash::fast::RandomState;
use uuid::Uuid;

use crate::accounts::{self, Accounts, Identity, Verified};
use crate::domain::Timestamp;
use crate::game::{CacheHandle, Game};
use crate::generations::Generations;

/// The maximum number of tokens in each generation.
const CAPACITY: usize = 25_000;
/// Seconds after which the cache handle is looked up again. The lookup prevents the eviction of an active player,
/// because the cache of players does not see reads through handles.
const HANDLE_SECONDS: f64 = 10.0;

/// A player whose access token is valid.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Identity,
    /// The handle of the player's cache entry.
    pub handle: CacheHandle,
}

impl Caller {
    /// The player's id.
    pub fn player(&self) -> Uuid {
        self.identity.player
    }
}

/// The verified tokens of one worker thread.
#[derive(Debug, Default)]
pub struct TokenCache(RefCell<ByToken<CachedToken>>);

#[derive(Debug)]
struct CachedToken {
    verified: Verified,
    /// The generation of the revocation list against which the session was last checked.
    revocations: u64,
    handle: CacheHandle,
    handle_since: Timestamp,
}

impl TokenCache {
    /// The player of this access token, if the token is valid at `now`.
    ///
    /// # Errors
    /// Those of [`Accounts::authenticate`].
    pub fn authenticate(
        &self,
        token: &str,
        now: Timestamp,
        accounts: &Accounts,
        game: &Game,
    ) -> Result<Caller, accounts::Error> {
        let mut cached = self.0.borrow_mut();
        if let Some(known) = cached.get(token) {
            return known.check(now, accounts, game);
        }
        // Read the generation before the check. If a revocation arrives in between, the generations differ and the next
        // request checks again.
        let revocations = accounts.revocations().generation();
        let verified = accounts.authenticate(token)?;
        let handle = game.handle(verified.identity.player);
        let caller = Caller { identity: verified.identity, handle: handle.clone() };
        cached.insert(token, CachedToken { verified, revocations, handle, handle_since: now });
        Ok(caller)
    }
}

impl CachedToken {
    fn check(
        &mut self,
        now: Timestamp,
        accounts: &Accounts,
        game: &Game,
    ) -> Result<Caller, accounts::Error> {
        let Verified { identity, expires_at } = self.verified;
        if now >= expires_at {
            return Err(accounts::Error::TokenExpired);
        }
        let revocations = accounts.revocations().generation();
        if revocations != self.revocations {
            accounts.check_revoked(identity)?;
            self.revocations = revocations;
        }
        if now.seconds_since(self.handle_since).abs() >= HANDLE_SECONDS {
            (self.handle, self.handle_since) = (game.handle(identity.player), now);
        }
        Ok(Caller { identity, handle: self.handle.clone() })
    }
}

/// A map from the most recently used tokens to values.
#[derive(Debug)]
struct ByToken<V>(Generations<TokenSuffix, (Box<str>, V), RandomState>);

/// The last bytes of a token. They belong to its signature and are practically random, so they serve as a key without
/// hashing the whole token. The whole token is compared afterwards.
type TokenSuffix = [u8; 16];

impl<V> Default for ByToken<V> {
    fn default() -> Self {
        Self(Generations::new(CAPACITY))
    }
}

impl<V> ByToken<V> {
    fn get(&mut self, token: &str) -> Option<&mut V> {
        let &suffix = token.as_bytes().last_chunk()?;
        let (known, value) = self.0.get(suffix)?;
        (**known == *token).then_some(value)
    }

    /// Stores a value. Ignores texts that are too short to be a token.
    fn insert(&mut self, token: &str, value: V) {
        if let Some(&suffix) = token.as_bytes().last_chunk() {
            self.0.insert(suffix, (token.into(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_finds_a_value() {
        let mut tokens = ByToken::default();
        let token = "header.payload.signature-of-some-length";
        assert_eq!(tokens.get(token), None);
        tokens.insert(token, 1);
        assert_eq!(tokens.get(token), Some(&mut 1));
        assert_eq!(tokens.get("header.another.signature-of-some-length"), None, "same last bytes");
        tokens.insert("short", 2);
        assert_eq!(tokens.get("short"), None);
    }

    #[test]
    fn used_tokens_stay_cached_and_the_number_is_bounded() {
        let mut tokens = ByToken::default();
        let token = |number: usize| format!("a token that ends with {number:016}");
        tokens.insert(&token(0), 0);
        for number in 1..3 * CAPACITY {
            tokens.insert(&token(number), number);
            assert_eq!(tokens.get(&token(0)), Some(&mut 0));
        }
        assert_eq!(tokens.get(&token(1)), None);
        assert!(tokens.0.len() <= 2 * CAPACITY);
    }
}
