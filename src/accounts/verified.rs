//! Access tokens that were found to be ours, so that a player who comes back every second has its token checked once.

use std::collections::HashMap;
use std::mem;
use std::sync::{PoisonError, RwLock};

use super::Identity;

/// Tokens in each generation.
const CAPACITY: usize = 25_000;

/// A token's content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// Seconds since the Unix epoch at which it expires.
    pub(super) expires_at: i64,
}

/// The end of a token, which is part of its signature: as good as random, so it tells tokens apart without hashing all of
/// one. The rest is compared.
type End = [u8; 16];

type Generation = HashMap<End, (Box<str>, Verified)>;

/// Tokens in two generations: when the young one is full the old one is forgotten, and what is used comes into the new one.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens {
    generations: RwLock<[Generation; 2]>,
}

impl VerifiedTokens {
    /// The content of a token, remembered or else from `verify`, which is remembered where it is ours.
    pub(super) fn get_or<E>(
        &self,
        token: &str,
        verify: impl FnOnce() -> Result<Verified, E>,
    ) -> Result<Verified, E> {
        let Some(&end) = token.as_bytes().last_chunk::<16>() else { return verify() };
        let held = self.held(token, end);
        if let Some((verified, true)) = held {
            return Ok(verified);
        }
        let verified = held.map_or_else(verify, |(verified, _)| Ok(verified))?;
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if young.len() >= CAPACITY {
            *old = mem::take(young);
        }
        young.insert(end, (token.into(), verified));
        Ok(verified)
    }

    /// What is remembered of a token, and whether it is in the young generation.
    fn held(&self, token: &str, end: End) -> Option<(Verified, bool)> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let of = |tokens: &Generation| {
            let (held, verified) = tokens.get(&end)?;
            (**held == *token).then_some(*verified)
        };
        let [young, old] = &*generations;
        of(young).map(|it| (it, true)).or_else(|| of(old).map(|it| (it, false)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn verified(number: i64) -> Verified {
        let id = Uuid::from_u128(number.unsigned_abs().into());
        Verified { identity: Identity { player: id, session: id }, expires_at: number }
    }

    #[test]
    fn a_token_is_checked_once_and_no_other_passes_for_it() {
        let tokens = VerifiedTokens::default();
        let token = "header.payload.signature-of-some-length";
        let checked = tokens.get_or(token, || Ok::<_, ()>(verified(1)));
        assert_eq!(checked, Ok(verified(1)));
        assert_eq!(tokens.get_or(token, || Err(())), Ok(verified(1)));
        let forged = "header.another.signature-of-some-length";
        assert_eq!(tokens.get_or(forged, || Err(())), Err(()), "its end is the same");
        assert_eq!(tokens.get_or("short", || Err(())), Err(()));
    }

    #[test]
    fn what_is_used_is_kept_and_the_rest_forgotten() {
        let tokens = VerifiedTokens::default();
        let token = |number: usize| format!("a token that ends with {number:016}");
        for number in 0..3 * CAPACITY {
            let other = token(number);
            tokens.get_or(&other, || Ok::<_, ()>(verified(2))).expect("checked");
            tokens.get_or(&token(0), || Err(())).expect("it is in use");
        }
        assert_eq!(tokens.get_or(&token(1), || Err(())), Err(()));
        let generations = tokens.generations.read().expect("not poisoned");
        assert!(generations.iter().all(|it| it.len() <= CAPACITY));
    }
}
