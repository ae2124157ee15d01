//! Reading the role and the settings of the HTTP server.

use super::{Read, cores};
use crate::config::{HttpConfig, LiveConfig, Origins, Role};

const MIN_ADMIN_TOKEN_BYTES: usize = 16;

impl Read<'_> {
    pub(super) fn http(&mut self) -> HttpConfig {
        HttpConfig {
            host: self.address("HOST"),
            port: self.port("PORT"),
            metrics_host: self.address("METRICS_HOST"),
            metrics_port: self.port("METRICS_PORT"),
            metrics_port_is_set: self.given("METRICS_PORT").is_some(),
            workers: match self.count("HTTP_WORKERS", 0, 1024) {
                0 => cores(),
                workers => workers,
            },
            keep_alive: self.seconds("KEEP_ALIVE_SECONDS", 1, 86_400),
            cors_allowed_origins: self.origins("CORS_ALLOWED_ORIGINS"),
            admin_token: self.secret("ADMIN_TOKEN", MIN_ADMIN_TOKEN_BYTES),
            trusted_proxy_hops: self.count("TRUSTED_PROXY_HOPS", 0, 16),
            drain_delay: self.seconds("DRAIN_DELAY_SECONDS", 0, 600),
        }
    }

    pub(super) fn live(&mut self) -> LiveConfig {
        LiveConfig {
            enabled: self.is_on("LIVE"),
            max_connections: self.count("LIVE_MAX_CONNECTIONS", 1, 1_000_000),
            connections_per_address: self.count("LIVE_CONNECTIONS_PER_ADDRESS", 1, 1_000_000),
            buffer_bytes: self.count("LIVE_BUFFER_MEGABYTES", 1, 1 << 16) << 20,
            drain: self.seconds("LIVE_DRAIN_SECONDS", 0, 600),
        }
    }

    pub(super) fn role(&mut self) -> Role {
        match self.text("ROLE").as_str() {
            "all" => Role::All,
            "api" => Role::Api,
            "worker" => Role::Worker,
            other => {
                self.fault("ROLE", format!("must be all, api or worker, but is `{other}`"));
                Role::All
            }
        }
    }

    fn origins(&mut self, name: &str) -> Origins {
        let mut origins = Origins::default();
        for origin in self.text(name).split(',').map(str::trim).filter(|it| !it.is_empty()) {
            if let Err(message) = origins.add(origin) {
                self.fault(name, message);
            }
        }
        origins
    }
}
