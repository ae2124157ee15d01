//! Counts the instances that share buckets: each instance registers in Redis twice a second and gets their number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Weak};
use std::time::Duration;

use redis::{RedisResult, Script};
use tokio::time::sleep;

use super::contact::UNAVAILABLE_AFTER_NANOS;
use super::share::{PRESENCE_NANOS, Peers, Presence};
use super::shared::Inner;
use crate::redis_client::{Connection, Redis};

/// The script that registers this instance and counts all instances.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("instances.lua")));

/// The interval of registrations.
const INTERVAL: Duration = Duration::from_millis(500);

/// Time-out of a registration.
const TIMEOUT: Duration = Duration::from_nanos(UNAVAILABLE_AFTER_NANOS);

/// Time-out of the removal of this instance.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// The registration of this instance.
#[derive(Debug)]
pub(super) struct Registration {
    id: String,
    has_left: AtomicBool,
}

impl Default for Registration {
    fn default() -> Self {
        Self { id: format!("{:016x}", rand::random::<u64>()), has_left: AtomicBool::new(false) }
    }
}

/// Registers this instance and updates the number of instances as long as the limiter is in use.
pub(super) async fn keep(shared: Weak<Inner>, redis: Redis, mut peers: Peers) {
    let mut changes = redis.watch();
    let Some(mut identities) = shared.upgrade().map(|shared| shared.identity.watch()) else {
        return;
    };
    loop {
        {
            let Some(shared) = shared.upgrade() else { return };
            if shared.registration.has_left.load(Ordering::Relaxed) {
                return;
            }
            register(&shared, &mut peers).await;
        }
        tokio::select! {
            () = sleep(INTERVAL) => {}
            // Redis became available or unavailable.
            changed = changes.changed() => if changed.is_err() { return },
            // The identity of the database, which keys contain, became known.
            changed = identities.changed() => if changed.is_err() { return },
        }
    }
}

/// Removes this instance from the list in Redis, because it stops.
pub(super) async fn leave(shared: &Inner) {
    shared.registration.has_left.store(true, Ordering::Relaxed);
    let (key, id) = (shared.key("instances"), &shared.registration.id);
    let removed = shared.redis.with_limit(LEAVE_TIMEOUT, |mut connection| async move {
        redis::cmd("HDEL").arg(key).arg(id).exec_async(&mut connection).await
    });
    if let Err(error) = removed.await {
        tracing::debug!(%error, "this instance could not be removed from the list in Redis");
    }
}

async fn register(shared: &Inner, peers: &mut Peers) {
    if !shared.identity.is_known() {
        return shared.shares.publish(peers);
    }
    let sent = shared.now();
    let (key, id) = (shared.key("instances"), &shared.registration.id);
    let presence = shared.redis.with_limit(TIMEOUT, |connection| ask(connection, key, id)).await;
    match presence {
        Ok(presence) => {
            shared.contact.answered();
            peers.update(shared.now(), presence);
        }
        Err(error) => {
            tracing::debug!(%error, "the list of instances could not be read from Redis");
            shared.contact.unanswered(sent);
            peers.miss(shared.now());
        }
    }
    shared.shares.publish(peers);
}

async fn ask(mut connection: Connection, key: String, id: &str) -> RedisResult<Presence> {
    let mut call = SCRIPT.key(key);
    call.arg(id).arg(PRESENCE_NANOS / 1000);
    let (instances, youngest_age, known): (u32, u64, bool) =
        call.invoke_async(&mut connection).await?;
    Ok(Presence { instances, youngest_age: youngest_age.saturating_mul(1000), known })
}
