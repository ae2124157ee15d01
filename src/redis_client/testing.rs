//! Helpers for unit tests of callers.

use super::Redis;
use crate::config::{RedisConfig, Secret};
use crate::telemetry::metrics::Metrics;

/// A Redis that is never available, with a prefix for keys. Must be called within a Tokio runtime.
pub fn unavailable(key_prefix: &str) -> Redis {
    let config = RedisConfig {
        url: Secret::new("redis://127.0.0.1:1"),
        key_prefix: key_prefix.to_owned(),
        ca_file: None,
    };
    let metrics = Metrics::new().expect("metrics");
    Redis::start(&config, metrics).expect("a valid address")
}
