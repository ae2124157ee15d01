//! Reading the settings of Redis.

use std::path::PathBuf;

use super::Read;
use crate::config::{RedisConfig, Secret};

impl Read<'_> {
    pub(super) fn redis(&mut self) -> Option<RedisConfig> {
        let url = self.given("REDIS_URL")?.to_owned();
        let schemes = ["redis://", "rediss://"];
        let known = |url: &str| schemes.iter().any(|scheme| url.trim().starts_with(scheme));
        if !url.split(',').all(known) {
            // The message does not repeat the value, which contains a password.
            self.fault(
                "REDIS_URL",
                "must be redis://user:password@host:port/0, or rediss:// with TLS",
            );
        }
        Some(RedisConfig {
            url: Secret::new(url),
            key_prefix: self.text("REDIS_KEY_PREFIX"),
            ca_file: self.given("REDIS_CA_FILE").map(PathBuf::from),
        })
    }
}
