//! The channel over which instances tell each other what they changed.
//!
//! Each instance sends a heartbeat twice a second and hears its own. Where a message could not be sent the heartbeat
//! pauses, so that the others know that they may have missed something. The channel belongs to one epoch of the database:
//! when the identity changes, everybody moves to another one.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use super::Players;
use super::message::{Change, Heard, Message, decode_message, encode_message};
use super::older_release;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::identity::{Identity, IdentityTracker};
use crate::redis_client::{Away, Redis};

const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long the heartbeat pauses after a message was lost: longer than others wait for it.
const PAUSE: Duration = Duration::from_millis(1200);
/// How long publishing may take. Nobody waits for it.
const PUBLISH_LIMIT: Duration = Duration::from_millis(250);
/// After this long without anything, not even a heartbeat of its own, the channel is opened anew.
const DEAD_AIR: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(100);
/// Changes in one message.
const MAX_CHANGES: usize = 64;
/// Changes that wait to be sent; beyond, the heartbeat pauses instead.
const MAX_WAITING: usize = 20_000;

/// This instance's end of the channel.
pub(super) struct Feed {
    pub(super) id: Uuid,
    clock: Arc<dyn Clock>,
    identity: Arc<IdentityTracker>,
    outbox: Arc<Outbox>,
    running: Mutex<Option<Running>>,
}

struct Running {
    redis: Redis,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    /// In which epoch and when the first of them was made.
    began: Option<(Identity, Timestamp)>,
    changes: Vec<Change>,
    /// Some were dropped.
    overflowed: bool,
}

impl Feed {
    pub(super) fn new(clock: Arc<dyn Clock>, identity: Arc<IdentityTracker>) -> Self {
        // Not a time-ordered id: processes of one moment must not share it.
        let id = Uuid::from_u128(rand::random());
        Self { id, clock, identity, outbox: Arc::default(), running: Mutex::new(None) }
    }

    /// The time that changes are stamped with.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn start(&self, players: &Players, redis: Redis) {
        let speaker = Speaker {
            redis: redis.clone(),
            id: self.id,
            identity: Arc::clone(&self.identity),
            outbox: Arc::clone(&self.outbox),
        };
        let tasks = vec![
            tokio::spawn(speaker.speak(players.clone())),
            tokio::spawn(listen(players.clone(), redis.clone())),
        ];
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Running { redis, tasks });
    }

    /// Queues changes that were made at `at`, in the present epoch.
    pub(super) fn announce(&self, at: Timestamp, changes: impl Iterator<Item = Change>) {
        let Some(identity) = self.identity.current() else { return };
        let mut waiting = self.outbox.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.leave_other_epochs(identity);
        if waiting.changes.len() >= MAX_WAITING {
            waiting.overflowed = true;
            return;
        }
        waiting.began.get_or_insert((identity, at));
        waiting.changes.extend(changes);
        drop(waiting);
        self.outbox.filled.notify_one();
    }

    pub(super) async fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { redis, tasks }) = running else { return };
        for task in tasks {
            task.abort();
        }
        let Some(identity) = self.identity.current() else { return };
        let bye = [Message::Bye { from: self.id }];
        if let Err(error) = publish(&redis, identity, &bye).await {
            tracing::debug!(%error, "the other instances were not told of the end");
        }
    }
}

impl Waiting {
    /// Drops what was queued in another epoch: the rows of that one are worth nothing in this one.
    fn leave_other_epochs(&mut self, identity: Identity) {
        if self.began.is_some_and(|(began, _)| began != identity) {
            (self.began, self.changes) = (None, Vec::new());
        }
    }
}

/// The channel of an epoch.
fn channel(redis: &Redis, identity: Identity) -> String {
    redis.key(identity, "changes")
}

async fn publish(redis: &Redis, identity: Identity, messages: &[Message]) -> Result<(), Away> {
    let channel = channel(redis, identity);
    let mut pipeline = redis::pipe();
    for bytes in messages.iter().filter_map(|message| encode_message(identity, message)) {
        pipeline.publish(&channel, bytes).ignore();
    }
    redis
        .with_limit(PUBLISH_LIMIT, |mut connection| async move {
            pipeline.exec_async(&mut connection).await
        })
        .await
}

/// Sends what this instance changed, and its heartbeat.
struct Speaker {
    redis: Redis,
    id: Uuid,
    identity: Arc<IdentityTracker>,
    outbox: Arc<Outbox>,
}

impl Speaker {
    async fn speak(self, players: Players) {
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_until = Instant::now();
        loop {
            let beat = tokio::select! {
                _ = ticks.tick() => true,
                () = self.outbox.filled.notified() => false,
            };
            let now = Instant::now();
            players.0.trust.pass(now);
            let Some(identity) = self.identity.current() else { continue };
            let (mut messages, overflowed) = self.take(identity);
            if overflowed {
                silent_until = now + PAUSE;
            }
            if beat && now >= silent_until {
                messages.push(Message::Beat { from: self.id });
            }
            if messages.is_empty() {
                continue;
            }
            if let Err(error) = publish(&self.redis, identity, &messages).await {
                tracing::debug!(%error, "changes were not announced");
                silent_until = Instant::now() + PAUSE;
            }
        }
    }

    /// What waits to be sent in that epoch, and whether some of it was dropped.
    fn take(&self, identity: Identity) -> (Vec<Message>, bool) {
        let mut waiting =
            mem::take(&mut *self.outbox.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.leave_other_epochs(identity);
        let Some((_, at)) = waiting.began else { return (Vec::new(), waiting.overflowed) };
        let changes = waiting.changes.chunks(MAX_CHANGES).map(|changes| Message::Changes {
            from: self.id,
            at,
            changes: changes.to_vec(),
        });
        (changes.collect(), waiting.overflowed)
    }
}

/// Hears what other instances changed, for ever.
async fn listen(players: Players, redis: Redis) {
    let mut identities = players.0.feed.identity.watch();
    loop {
        let identity = *identities.borrow_and_update();
        let Some(identity) = identity else {
            // Until the database was asked for the first time. An error means that the server has ended.
            if identities.changed().await.is_err() {
                return;
            }
            continue;
        };
        let moved = tokio::select! {
            heard = hear_until_lost(&players, &redis, identity) => {
                if let Err(error) = heard {
                    tracing::debug!(%error, "the channel cannot be heard");
                }
                false
            }
            _ = identities.changed() => true,
        };
        if moved {
            players.0.trust.move_channel(Instant::now());
            continue;
        }
        players.0.trust.lose(Instant::now());
        sleep(RETRY).await;
    }
}

async fn hear_until_lost(players: &Players, redis: &Redis, identity: Identity) -> Result<(), Away> {
    let mut listener = redis.listener().await?;
    let older = redis.common_key(older_release::CHANNEL);
    let channels = [channel(redis, identity), older.clone()];
    let subscribed = timeout(DEAD_AIR, listener.subscribe(&channels[..])).await;
    if !matches!(subscribed, Ok(Ok(()))) {
        return Ok(());
    }
    let mut messages = listener.on_message();
    while let Ok(Some(message)) = timeout(DEAD_AIR, messages.next()).await {
        if message.get_channel_name() == older {
            hear_older_release(players, message.get_payload_bytes());
        } else {
            hear(players, identity, message.get_payload_bytes());
        }
    }
    Ok(())
}

fn hear(players: &Players, identity: Identity, bytes: &[u8]) {
    let (now, trust, own) = (Instant::now(), &players.0.trust, players.0.feed.id);
    match decode_message(identity, bytes) {
        Heard::Message(Message::Beat { from }) if from == own => trust.hear_self(now),
        Heard::Message(Message::Beat { from }) => drop(trust.hear(from, now)),
        Heard::Message(Message::Bye { from }) => trust.forget(from, now),
        Heard::Message(Message::Changes { from, .. }) if from == own => {}
        Heard::Message(Message::Changes { at, changes, .. }) => {
            let age = players.0.feed.now().seconds_since(at).max(0.0);
            let age = Duration::try_from_secs_f64(age).unwrap_or(Duration::MAX);
            for change in changes {
                players.hear(change, age, now);
            }
        }
        Heard::NotOurs => {}
        // An instance of another release: what it changes is not understood.
        Heard::Unknown => trust.warn(now),
    }
}

fn hear_older_release(players: &Players, bytes: &[u8]) {
    let (now, trust) = (Instant::now(), &players.0.trust);
    match older_release::decode(bytes) {
        Some(older_release::Message::Beat { .. }) => trust.hear_older_release(now),
        // Another one may be left.
        Some(older_release::Message::Bye { .. }) => {}
        Some(older_release::Message::Changes { changes, .. }) => {
            for change in changes {
                players.hear(Change::Touched(change.player()), Duration::ZERO, now);
            }
        }
        None => trust.warn(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::testing::at;
    use crate::identity::{Epoch, Observed};

    fn observed(epoch: u64) -> Observed {
        let identity = Identity { database: 1, epoch: Epoch::from_number(epoch) };
        Observed { identity, server_started_at: 1, wal_position: None }
    }

    #[test]
    fn what_was_queued_in_another_epoch_is_not_sent() {
        let identity = Arc::new(IdentityTracker::default());
        let feed = Feed::new(Arc::new(ManualClock::new(at(0.0))), Arc::clone(&identity));
        let announce = |player| {
            let change = Change::Touched(Uuid::from_u128(player));
            feed.announce(at(0.0), std::iter::once(change));
        };
        let waiting = || feed.outbox.waiting.lock().expect("unlocked").changes.len();
        let observe = |epoch| identity.observe(observed(epoch), Instant::now(), Instant::now());
        announce(1);
        assert_eq!(waiting(), 0, "nothing is known about the database yet");
        observe(1);
        announce(1);
        announce(2);
        assert_eq!(waiting(), 2);
        observe(2);
        announce(3);
        assert_eq!(waiting(), 1);
    }
}
