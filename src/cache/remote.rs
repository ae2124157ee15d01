//! Players in Redis, shared by all instances. A row is written after each load, expires after a few seconds, and never
//! overwrites a later revision.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::{Script, pipe};
use uuid::Uuid;

use super::encoding::{StoredRow, decode, encode};
use super::minimum::TOMBSTONE;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::redis_client::Redis;
use crate::store::players::PlayerRecord;

/// How long a player stays in Redis.
const TTL: Duration = Duration::from_secs(5);
/// Each value starts with the revision in this many digits. Leading zeros make the order of the text equal to the order
/// of the numbers.
const DIGITS: usize = 19;

/// Stores body ARGV[2] under revision ARGV[1] for ARGV[3] ms, unless the stored revision is later.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.pcall('GETRANGE', KEYS[1], 0, 18)
         -- A key of another type was not written by this server and is replaced.
         if type(held) == 'table' then held = '' end
         if held ~= '' and held > ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

/// A player that was read from Redis.
pub(super) struct RemoteRow {
    /// `None` for a tombstone.
    pub(super) record: Option<PlayerRecord>,
    /// The time since the row was known to be current.
    pub(super) age: Duration,
}

/// Access to the players in Redis. Callers pass the database identity that was known before the row was read, so that a
/// row of one epoch is never stored under the keys of another.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) redis: Redis,
    pub(super) clock: Arc<dyn Clock>,
}

impl Remote {
    fn key(&self, identity: Identity, player: Uuid) -> String {
        self.redis.key(identity, format_args!("player:{player}"))
    }

    /// The player's row or tombstone; `None` if Redis fails or has neither.
    pub(super) async fn get(&self, identity: Identity, player: Uuid) -> Option<RemoteRow> {
        let key = self.key(identity, player);
        let got = self.redis.with(|mut connection| async move {
            pipe().get(&key).pttl(&key).query_async(&mut connection).await
        });
        let (value, remaining): (Option<Vec<u8>>, i64) = got.await.ok()?;
        let value = value?;
        let remaining = Duration::from_millis(u64::try_from(remaining).ok()?);
        let stayed = TTL.checked_sub(remaining)?;
        let (revision, body) = value.split_at_checked(DIGITS)?;
        if revision == digits(TOMBSTONE).as_bytes() {
            return Some(RemoteRow { record: None, age: stayed });
        }
        let stored: StoredRow<PlayerRecord> = decode(body)?;
        // The write may have been delayed on its way to Redis, so the row can be older than its time in Redis.
        let age = self.clock.now().seconds_since(stored.current_at).max(0.0);
        let age = Duration::try_from_secs_f64(age).ok()?.max(stayed);
        Some(RemoteRow { record: Some(stored.record), age })
    }

    /// Writes a player's row that was current at `current_at`.
    pub(super) async fn put(&self, identity: Identity, record: &PlayerRecord, current_at: Instant) {
        let age = current_at.elapsed();
        let stored =
            StoredRow { current_at: self.clock.now().plus_seconds(-age.as_secs_f64()), record };
        if let Some(body) = encode(&stored) {
            self.write(identity, record.id, record.revision, body, age).await;
        }
    }

    /// Writes the tombstone of a player.
    pub(super) async fn put_tombstone(&self, identity: Identity, player: Uuid) {
        self.write(identity, player, TOMBSTONE, Vec::new(), Duration::ZERO).await;
    }

    /// Removes a player's row, because it changed.
    pub(super) async fn remove(&self, identity: Identity, player: Uuid) {
        let key = self.key(identity, player);
        let removed = self.redis.with(|mut connection| async move {
            redis::cmd("DEL").arg(key).exec_async(&mut connection).await
        });
        if let Err(error) = removed.await {
            tracing::debug!(%error, "a player was not deleted from Redis");
        }
    }

    async fn write(
        &self,
        identity: Identity,
        player: Uuid,
        revision: i64,
        body: Vec<u8>,
        age: Duration,
    ) {
        let Some(ttl) = TTL.checked_sub(age).filter(|ttl| ttl.as_millis() > 0) else { return };
        let key = self.key(identity, player);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(1);
        let put = self.redis.with(|mut connection| async move {
            let mut put = PUT.key(key);
            put.arg(digits(revision)).arg(body).arg(millis);
            put.invoke_async::<i64>(&mut connection).await
        });
        if let Err(error) = put.await {
            tracing::debug!(%error, "a player was not written to Redis");
        }
    }
}

fn digits(revision: i64) -> String {
    format!("{revision:019}")
}
