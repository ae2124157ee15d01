//! Keeps a connection open: opens it, checks regularly whether Redis still works, and reopens it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::time::{sleep, timeout};

use super::connection::Opener;
use super::{Connection, Redis, Unavailable, describe, rights};

/// The pause between two attempts to open a connection.
const RETRY: Duration = Duration::from_millis(250);
/// If Redis passes the checks when a connection opens but refuses a command within this time, the pause before the next
/// attempt is doubled. Otherwise Redis would become available and unavailable again every second.
const SETTLED: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The interval of the checks, and their time-out.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// TTL in milliseconds of the key that the check writes.
const PROBE_TTL: u64 = 10_000;

/// Keeps the connection open. Never returns.
pub(super) async fn keep(redis: Redis) {
    let mut is_logged = false;
    let mut pause = RETRY;
    loop {
        match open(&redis).await {
            Ok(connection) => {
                is_logged = false;
                let opened = Instant::now();
                redis.connect(connection);
                watch(&redis).await;
                let refused = redis.0.refused.swap(false, Ordering::Relaxed);
                pause = if refused && opened.elapsed() < SETTLED {
                    (pause * 2).min(LONGEST_PAUSE)
                } else {
                    RETRY
                };
            }
            Err(error) => {
                if is_logged {
                    tracing::debug!(%error, "Redis is still unavailable");
                } else {
                    tracing::warn!(%error, "Redis is unavailable; retrying");
                }
                is_logged = true;
                // The pause does not grow, because no command was refused.
                sleep(RETRY).await;
                continue;
            }
        }
        sleep(pause).await;
    }
}

/// Opens a connection on which Redis has passed all checks.
async fn open(redis: &Redis) -> Result<Connection, Unavailable> {
    open_by(&redis.0.opener, &redis.0.key_prefix).await
}

/// Opens a connection on which all checks have passed, for keys and channels that begin with `prefix`.
pub(super) async fn open_by(opener: &Opener, prefix: &str) -> Result<Connection, Unavailable> {
    let connection = opener.open().await?;
    rights::check(opener, &connection, prefix).await?;
    check_write(connection.clone(), format!("{prefix}probe")).await?;
    Ok(connection)
}

/// Writes a key as a check.
pub(super) async fn check_write(connection: Connection, key: String) -> Result<(), Unavailable> {
    match timeout(PROBE_LIMIT, probe(connection, key)).await {
        Ok(written) => written.map_err(|error| Unavailable(describe(&error))),
        Err(_) => Err(Unavailable("no answer to a write within 1 s".into())),
    }
}

/// Checks regularly until the circuit breaker opens.
async fn watch(redis: &Redis) {
    loop {
        tokio::select! {
            () = redis.0.lost.notified() => {}
            () = sleep(PROBE_INTERVAL) => {}
        }
        if !redis.is_up() {
            return;
        }
        let (asked, key) = (Instant::now(), redis.common_key("probe"));
        match redis.with_limit(PROBE_LIMIT, |connection| probe(connection, key)).await {
            Ok(()) => {
                let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                redis.0.latency_micros.store(micros, Ordering::Relaxed);
            }
            Err(error) => redis.disconnect(&error.to_string()),
        }
    }
}

/// Writes a key. A read would not be enough, because a full Redis and a replica still answer reads.
async fn probe(mut connection: Connection, key: String) -> RedisResult<()> {
    redis::cmd("SET").arg(key).arg(1).arg("PX").arg(PROBE_TTL).query_async(&mut connection).await
}
