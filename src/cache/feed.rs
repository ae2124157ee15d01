//! The channel over which instances tell each other what they changed.
//!
//! Each instance sends a heartbeat twice a second and hears its own. Where a message could not be sent the heartbeat
//! pauses, so that the others know that they may have missed something.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use super::Players;
use super::message::{Change, Message, decode, encode};
use crate::clock::Clock;
use crate::domain::Timestamp;
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
    /// When the first of them was made.
    at: Option<Timestamp>,
    changes: Vec<Change>,
    /// Some were dropped.
    overflowed: bool,
}

impl Feed {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        // Not a time-ordered id: processes of one moment must not share it.
        let id = Uuid::from_u128(rand::random());
        Self { id, clock, outbox: Arc::default(), running: Mutex::new(None) }
    }

    /// The time that changes are stamped with.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn start(&self, players: &Players, redis: Redis) {
        let speaker =
            Speaker { redis: redis.clone(), id: self.id, outbox: Arc::clone(&self.outbox) };
        let tasks = vec![
            tokio::spawn(speaker.speak(players.clone())),
            tokio::spawn(listen(players.clone(), redis.clone())),
        ];
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Running { redis, tasks });
    }

    /// Queues changes that were made at `at`.
    pub(super) fn announce(&self, at: Timestamp, changes: impl Iterator<Item = Change>) {
        let mut waiting = self.outbox.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.changes.len() >= MAX_WAITING {
            waiting.overflowed = true;
            return;
        }
        waiting.at.get_or_insert(at);
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
        let bye = [Message::Bye { from: self.id }];
        if let Err(error) = publish(&redis, &bye).await {
            tracing::debug!(%error, "the other instances were not told of the end");
        }
    }
}

async fn publish(redis: &Redis, messages: &[Message]) -> Result<(), Away> {
    let channel = redis.key("changes");
    let mut pipeline = redis::pipe();
    for bytes in messages.iter().filter_map(encode) {
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
            let (mut messages, overflowed) = self.take();
            if overflowed {
                silent_until = now + PAUSE;
            }
            if beat && now >= silent_until {
                messages.push(Message::Beat { from: self.id });
            }
            if messages.is_empty() {
                continue;
            }
            if let Err(error) = publish(&self.redis, &messages).await {
                tracing::debug!(%error, "changes were not announced");
                silent_until = Instant::now() + PAUSE;
            }
        }
    }

    /// What waits to be sent, and whether some of it was dropped.
    fn take(&self) -> (Vec<Message>, bool) {
        let waiting =
            mem::take(&mut *self.outbox.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(at) = waiting.at else { return (Vec::new(), waiting.overflowed) };
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
    let channel = redis.key("changes");
    loop {
        if let Err(error) = hear_until_lost(&players, &redis, &channel).await {
            tracing::debug!(%error, "the channel cannot be heard");
        }
        players.0.trust.lose(Instant::now());
        sleep(RETRY).await;
    }
}

async fn hear_until_lost(players: &Players, redis: &Redis, channel: &str) -> Result<(), Away> {
    let mut listener = redis.listener().await?;
    let subscribed = timeout(DEAD_AIR, listener.subscribe(channel)).await;
    if !matches!(subscribed, Ok(Ok(()))) {
        return Ok(());
    }
    let mut messages = listener.on_message();
    while let Ok(Some(message)) = timeout(DEAD_AIR, messages.next()).await {
        hear(players, message.get_payload_bytes());
    }
    Ok(())
}

fn hear(players: &Players, bytes: &[u8]) {
    let (now, trust, own) = (Instant::now(), &players.0.trust, players.0.feed.id);
    match decode(bytes) {
        Some(Message::Beat { from }) if from == own => trust.hear_self(now),
        Some(Message::Beat { from }) => drop(trust.hear(from, now)),
        Some(Message::Bye { from }) => trust.forget(from, now),
        Some(Message::Changes { from, .. }) if from == own => {}
        Some(Message::Changes { at, changes, .. }) => {
            let age = players.0.feed.now().seconds_since(at).max(0.0);
            let age = Duration::try_from_secs_f64(age).unwrap_or(Duration::MAX);
            for change in changes {
                players.hear(change, age, now);
            }
        }
        // An instance of another release: what it changes is not understood.
        None => trust.warn(now),
    }
}
