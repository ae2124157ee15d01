//! Players who come back every second, as each worker thread remembers them: a token is checked once, and the player's place
//! in the cache is at hand. Nothing of it is shared, so that threads do not wait for each other's memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use foldhash::fast::RandomState;
use uuid::Uuid;

use crate::accounts::{self, Accounts, Identity, Verified};
use crate::domain::Timestamp;
use crate::game::{Game, Seat};

/// Tokens in each generation.
const CAPACITY: usize = 25_000;
/// For how many seconds a place in the cache is taken for granted. The cache hears of its use when it is looked up again.
const SEATED_SECONDS: f64 = 10.0;

/// A player who has shown a token that holds.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Identity,
    /// The player's place in the cache.
    pub seat: Seat,
}

impl Caller {
    /// The player.
    pub fn player(&self) -> Uuid {
        self.identity.player
    }
}

/// Who has been here.
#[derive(Debug, Default)]
pub struct Visitors(RefCell<Recent<Visitor>>);

#[derive(Debug)]
struct Visitor {
    verified: Verified,
    /// The revocations' generation in which the player was trusted.
    trusted: u64,
    seat: Seat,
    seated_at: Timestamp,
}

impl Visitors {
    /// Who shows `token` at `now`.
    ///
    /// # Errors
    /// As [`Accounts::authenticate`].
    pub fn visit(
        &self,
        token: &str,
        now: Timestamp,
        accounts: &Accounts,
        game: &Game,
    ) -> Result<Caller, accounts::Error> {
        let mut recent = self.0.borrow_mut();
        if let Some(visitor) = recent.find(token) {
            return visitor.visit(now, accounts, game);
        }
        // Whoever revokes meanwhile raises the generation, so that the next visit finds out.
        let trusted = accounts.revocations().generation();
        let verified = accounts.authenticate(token)?;
        let seat = game.seat(verified.identity.player);
        let visitor = Visitor { verified, trusted, seat: seat.clone(), seated_at: now };
        recent.remember(token, visitor);
        Ok(Caller { identity: verified.identity, seat })
    }
}

impl Visitor {
    fn visit(
        &mut self,
        now: Timestamp,
        accounts: &Accounts,
        game: &Game,
    ) -> Result<Caller, accounts::Error> {
        let Verified { identity, expires_at } = self.verified;
        if now >= expires_at {
            return Err(accounts::Error::TokenExpired);
        }
        let generation = accounts.revocations().generation();
        if generation != self.trusted {
            accounts.trust(identity)?;
            self.trusted = generation;
        }
        if now.seconds_since(self.seated_at).abs() >= SEATED_SECONDS {
            (self.seat, self.seated_at) = (game.seat(identity.player), now);
        }
        Ok(Caller { identity, seat: self.seat.clone() })
    }
}

/// What tokens led to, in two generations: when the young one is full the old one is forgotten, and what is used comes into
/// the new one.
#[derive(Debug)]
struct Recent<V> {
    young: Generation<V>,
    old: Generation<V>,
}

type Generation<V> = HashMap<End, (Box<str>, V), RandomState>;

/// The end of a token, which is part of its signature: as good as random, so it tells tokens apart without hashing all of
/// one. The rest is compared.
type End = [u8; 16];

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<V> Recent<V> {
    fn find(&mut self, token: &str) -> Option<&mut V> {
        let &end = token.as_bytes().last_chunk()?;
        self.age();
        let (known, value) = match self.young.entry(end) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(self.old.remove(&end)?),
        };
        (**known == *token).then_some(value)
    }

    /// Takes in a token that was not found, where it is long enough to be told from others.
    fn remember(&mut self, token: &str, value: V) {
        if let Some(&end) = token.as_bytes().last_chunk() {
            self.age();
            self.young.insert(end, (token.into(), value));
        }
    }

    fn age(&mut self) {
        if self.young.len() >= CAPACITY {
            self.old = mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_again_and_no_other_passes_for_it() {
        let mut recent = Recent::default();
        let token = "header.payload.signature-of-some-length";
        assert_eq!(recent.find(token), None);
        recent.remember(token, 1);
        assert_eq!(recent.find(token), Some(&mut 1));
        assert_eq!(
            recent.find("header.another.signature-of-some-length"),
            None,
            "its end is the same"
        );
        recent.remember("short", 2);
        assert_eq!(recent.find("short"), None);
    }

    #[test]
    fn what_is_used_is_kept_and_the_rest_forgotten() {
        let mut recent = Recent::default();
        let token = |number: usize| format!("a token that ends with {number:016}");
        recent.remember(&token(0), 0);
        for number in 1..3 * CAPACITY {
            recent.remember(&token(number), number);
            assert_eq!(recent.find(&token(0)), Some(&mut 0), "it is in use");
        }
        assert_eq!(recent.find(&token(1)), None);
        assert!(recent.young.len() <= CAPACITY && recent.old.len() <= CAPACITY);
    }
}
