//! Reading the settings of tokens and passwords.

use std::time::Duration;

use super::{Read, cores};
use crate::config::AuthConfig;

const MIN_SECRET_BYTES: usize = 32;

impl Read<'_> {
    pub(super) fn auth(&mut self) -> AuthConfig {
        AuthConfig {
            jwt_secret: self.secret("JWT_SECRET", MIN_SECRET_BYTES),
            jwt_secret_previous: self.secret("JWT_SECRET_PREVIOUS", MIN_SECRET_BYTES),
            access_token_ttl: self.seconds("ACCESS_TOKEN_TTL_SECONDS", 5, 86_400),
            session_ttl: Duration::from_secs(self.number("SESSION_TTL_DAYS", 1, 3650) * 86_400),
            hash_concurrency: match self.count("PASSWORD_HASH_CONCURRENCY", 0, 256) {
                0 => (cores() / 2).max(1),
                concurrency => concurrency,
            },
        }
    }
}
