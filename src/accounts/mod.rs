//! Accounts: guests, usernames and passwords, sessions and their tokens, and what ends a session.
//!
//! Access tokens are JWTs (HS256, 15 minutes) that name the player and the session. Checking one needs no store.
//! Logging out, bans and deletions are rows of `revocations`, which every instance reads twice a second
//! (`app::loops::pulse`); after a start or an outage it reads those of a token's whole life.
//!
//! Refresh tokens are opaque and stored as a hash. Each is the HMAC of the one before, so the same successor can be
//! issued again after a lost answer, and an old token can be distinguished from a forged one. A token that comes back
//! after its successor was used ends the session. Two holders who always refresh within 30 s of each other look like
//! two tabs and are not detected.
//!
//! Passwords are hashed with argon2id at OWASP's parameters, on other threads, only a few at the same time. Beyond a
//! queue of 32 each, requests are refused (503).

mod access_token;
mod authenticate;
mod delete;
mod names;
mod password;
mod refresh_token;
mod reuse;
mod revocations;
mod sessions;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

pub use access_token::AccessTokens;
pub use authenticate::{Identity, Verified};
pub use names::{DISPLAY_NAME, Password, display_name, username};
pub use password::PasswordHasher;
pub use revocations::Revocations;
pub use sign_in::{Registration, SignedIn};

use self::reuse::ReuseChecks;
use crate::cache::Players;
use crate::catalogue::{Catalogues, Unconfirmed};
use crate::clock::Clock;
use crate::store::{self, Store};

/// Why a call about accounts is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is missing, invalid or revoked.
    #[error("the token is invalid")]
    Unauthenticated,
    #[error("the token has expired")]
    TokenExpired,
    /// The password is not the one of the username.
    #[error("wrong username or password")]
    InvalidCredentials,
    #[error("the player is banned")]
    Banned,
    #[error("the username is taken")]
    UsernameTaken,
    #[error("the player is already registered")]
    AlreadyRegistered,
    #[error("there is no such session")]
    NoSuchSession,
    /// More sign-ins wait than can be served soon.
    #[error("too many sign-ins at once")]
    Overloaded,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("not ready: {0}")]
    NotReady(#[from] Unconfirmed),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The tokens of a session.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access_token: String,
    /// How long the access token is valid.
    pub expires_in: Duration,
    pub refresh_token: String,
}

/// All use cases of accounts.
pub struct Accounts {
    store: Store,
    players: Players,
    clock: Arc<dyn Clock>,
    catalogues: Arc<Catalogues>,
    access_tokens: AccessTokens,
    hasher: PasswordHasher,
    revocations: Revocations,
    reuse_checks: ReuseChecks,
    session_ttl: Duration,
}

impl Accounts {
    /// Wires the parts.
    pub fn new(
        store: Store,
        players: Players,
        clock: Arc<dyn Clock>,
        catalogues: Arc<Catalogues>,
        access_tokens: AccessTokens,
        hasher: PasswordHasher,
        session_ttl: Duration,
    ) -> Self {
        Self {
            store,
            players,
            clock,
            catalogues,
            access_tokens,
            hasher,
            revocations: Revocations::default(),
            reuse_checks: ReuseChecks::default(),
            session_ttl,
        }
    }

    /// Sessions and players that must be rejected.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// How long a session is valid without a refresh.
    pub fn session_ttl(&self) -> Duration {
        self.session_ttl
    }

    /// How long a revocation matters, which is the lifetime of an access token.
    pub fn access_token_ttl(&self) -> Duration {
        self.access_tokens.ttl()
    }
}
