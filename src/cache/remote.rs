//! Players in Redis, for all instances: put after a load, for a few seconds, never over a newer revision.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, pipe};
use uuid::Uuid;

use super::message::{decode, encode};
use super::slot::GONE;
use crate::redis_client::Redis;
use crate::store::players::PlayerRecord;

/// For how long a player stays.
const TTL: Duration = Duration::from_secs(5);
/// Digits of the revision that each value begins with, so that text compares as the numbers do.
const DIGITS: usize = 19;

/// Puts ARGV[2] at revision ARGV[1] for ARGV[3] ms, unless a newer one is there.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.call('GETRANGE', KEYS[1], 0, 18)
         if held ~= '' and held > ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

/// What Redis holds of a player.
pub(super) struct Held {
    /// None for a player who is gone.
    pub(super) record: Option<PlayerRecord>,
    /// How long ago it was right.
    pub(super) age: Duration,
}

/// Players in Redis.
#[derive(Clone)]
pub(super) struct Remote(pub(super) Redis);

impl Remote {
    fn key(&self, player: Uuid) -> String {
        self.0.key(format_args!("player:{player}"))
    }

    /// The player, where Redis answers and holds it.
    pub(super) async fn get(&self, player: Uuid) -> Option<Held> {
        let key = self.key(player);
        let got = self.0.with(|mut connection| async move {
            pipe().get(&key).pttl(&key).query_async(&mut connection).await
        });
        let (value, remaining): (Option<Vec<u8>>, i64) = got.await.ok()?;
        let value = value?;
        let remaining = Duration::from_millis(u64::try_from(remaining).ok()?);
        let (revision, body) = value.split_at_checked(DIGITS)?;
        let gone = revision == digits(GONE).as_bytes();
        let record = if gone { None } else { Some(decode(body)?) };
        Some(Held { record, age: TTL.checked_sub(remaining)? })
    }

    /// Puts a player that was right `age` ago.
    pub(super) async fn put(&self, record: &PlayerRecord, age: Duration) {
        if let Some(body) = encode(record) {
            self.write(record.id, record.revision, body, age).await;
        }
    }

    /// Puts the tombstone of a player.
    pub(super) async fn put_gone(&self, player: Uuid) {
        self.write(player, GONE, Vec::new(), Duration::ZERO).await;
    }

    /// Removes a player whose row has changed.
    pub(super) async fn remove(&self, player: Uuid) {
        let key = self.key(player);
        let removed = self.0.with(|mut connection| async move {
            redis::cmd("DEL").arg(key).exec_async(&mut connection).await
        });
        if let Err(error) = removed.await {
            tracing::debug!(%error, "a player was not removed from Redis");
        }
    }

    async fn write(&self, player: Uuid, revision: i64, body: Vec<u8>, age: Duration) {
        let Some(ttl) = TTL.checked_sub(age).filter(|ttl| ttl.as_millis() > 0) else { return };
        let key = self.key(player);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(1);
        let put = self.0.with(|mut connection| async move {
            let mut put = PUT.key(key);
            put.arg(digits(revision)).arg(body).arg(millis);
            put.invoke_async::<i64>(&mut connection).await
        });
        if let Err(error) = put.await {
            tracing::debug!(%error, "a player was not put into Redis");
        }
    }
}

fn digits(revision: i64) -> String {
    format!("{revision:019}")
}
