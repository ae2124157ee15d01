//! Accounts: guests, usernames and passwords, sessions and their tokens, and what ends a session.
//!
//! Access tokens are JWTs (HS256, valid for 15 minutes) that name the player and the session. Checking one needs no
//! query. Logouts, bans and deletions are rows of the table `revocations`, which every instance reads twice a second
//! (`app::loops::pulse`). After a start or an outage an instance reads all revocations of the last 15 minutes, so that
//! it knows every revocation of a token that is still valid.
//!
//! Refresh tokens are opaque and stored as a hash. Each one is the HMAC of the previous one. So the same successor can
//! be issued again if an answer was lost, and an old token can be distinguished from a forged one. If a token is used
//! again after its successor was used, the session ends. Two clients with the same token that always refresh within
//! 30 s of each other are not detected, because two tabs of one browser behave in the same way.
//!
//! Passwords are hashed with argon2id and OWASP's parameters, on other threads, and only a few at the same time. If 32
//! requests already wait for each of these threads, further ones are refused (503).

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
    /// The username does not exist, or the password is wrong.
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
    /// The queue of sign-ins is full.
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

/// The operations on accounts.
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

    /// The lifetime of an access token. A revocation that is older has no effect any more.
    pub fn access_token_ttl(&self) -> Duration {
        self.access_tokens.ttl()
    }
}
