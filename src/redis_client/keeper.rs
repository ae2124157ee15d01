//! Upkeep of the connection: opens it, asks now and then whether Redis still does its work, and opens it again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::time::{sleep, timeout};

use super::connection::Opener;
use super::{Away, Connection, Redis, describe, rights};

/// Between two attempts to open a connection.
const RETRY: Duration = Duration::from_millis(250);
/// A Redis that takes what is tried at the opening, and refuses within this time what is asked then, is left alone for longer
/// each time: it would else count as there and away every second.
const SETTLED: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Between two questions, and how long an answer may take.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// How long the probe's key stays, in milliseconds.
const PROBE_TTL: u64 = 10_000;

/// Keeps the connection for as long as it runs.
pub(super) async fn keep(redis: Redis) {
    let mut told = false;
    let mut pause = RETRY;
    loop {
        match open(&redis).await {
            Ok(connection) => {
                told = false;
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
                if told {
                    tracing::debug!(%error, "Redis is still unavailable");
                } else {
                    tracing::warn!(%error, "Redis is unavailable; retrying");
                }
                told = true;
                // It has not been open, so it has refused nothing after all.
                sleep(RETRY).await;
                continue;
            }
        }
        sleep(pause).await;
    }
}

/// A connection over which Redis has proved to do all that is asked of it.
async fn open(redis: &Redis) -> Result<Connection, Away> {
    open_by(&redis.0.opener, &redis.0.key_prefix).await
}

/// As [`open`], for keys and channels that begin with `prefix`.
pub(super) async fn open_by(opener: &Opener, prefix: &str) -> Result<Connection, Away> {
    let connection = opener.open().await?;
    rights::check(opener, &connection, prefix).await?;
    prove(connection.clone(), format!("{prefix}probe")).await?;
    Ok(connection)
}

/// Writes once.
pub(super) async fn prove(connection: Connection, key: String) -> Result<(), Away> {
    match timeout(PROBE_LIMIT, probe(connection, key)).await {
        Ok(proved) => proved.map_err(|error| Away(describe(&error))),
        Err(_) => Err(Away("it does not answer".into())),
    }
}

/// Asks until the breaker opens.
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

/// A write, as a Redis that is full or a replica answers reads all the same.
async fn probe(mut connection: Connection, key: String) -> RedisResult<()> {
    redis::cmd("SET").arg(key).arg(1).arg("PX").arg(PROBE_TTL).query_async(&mut connection).await
}
