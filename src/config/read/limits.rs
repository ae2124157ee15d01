//! Reading the rate limits.

use super::Read;
use crate::config::LimitConfig;

impl Read<'_> {
    pub(super) fn limits(&mut self) -> LimitConfig {
        LimitConfig {
            per_second: self.rate("RATE_LIMIT_PER_SECOND", 0),
            burst: self.rate("RATE_LIMIT_BURST", 1),
            auth_per_minute: self.rate("RATE_LIMIT_AUTH_PER_MINUTE", 0),
            login_per_username_per_minute: self.rate("RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE", 0),
            live_per_second: self.rate("RATE_LIMIT_LIVE_PER_SECOND", 0),
            live_burst: self.rate("RATE_LIMIT_LIVE_BURST", 1),
            leases: self.is_on("RATE_LIMIT_LEASES"),
        }
    }

    fn rate(&mut self, name: &str, least: u64) -> u32 {
        u32::try_from(self.number(name, least, 100_000)).unwrap_or(u32::MAX)
    }
}
