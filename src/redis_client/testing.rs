//! What unit tests of callers need.

use super::Redis;
use crate::config::{RedisConfig, Secret};
use crate::telemetry::metrics::Metrics;

/// A Redis that is away for good, with a prefix of the keys. Call it within a runtime.
pub fn away(key_prefix: &str) -> Redis {
    let config = RedisConfig {
        url: Secret::new("redis://127.0.0.1:1"),
        key_prefix: key_prefix.to_owned(),
        ca_file: None,
    };
    let metrics = Metrics::new().expect("metrics");
    Redis::start(&config, metrics).expect("an address")
}
