//! The Redis channel between instances. One task publishes items and heartbeats, another one receives those of the
//! other instances.
//!
//! Each instance publishes a heartbeat twice a second and also receives its own. After it has failed to send a message,
//! it pauses its heartbeat: so the other instances notice that they may have missed a message. Each epoch of the
//! database has its own channel: when the identity changes, all instances change to another channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::message::{Decoded, Message, decode, encode};
use super::outbox::Taken;
use super::{Peers, Subscription, older_release};
use crate::identity::Identity;
use crate::redis_client::{Redis, Unavailable};

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How long the heartbeat pauses after a message was lost. It must be longer than `HEARTBEAT_TIMEOUT`, after which
/// other instances notice that the heartbeat is missing.
const HEARTBEAT_PAUSE: Duration = Duration::from_millis(1200);
/// Timeout of publishing. No request waits for it.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(250);
/// If nothing arrives for this long, not even this instance's own heartbeat, it reconnects.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before it reconnects.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

type Subscriptions = Arc<[Arc<dyn Subscription>]>;

/// Starts both tasks.
pub(super) fn start(
    peers: &Peers,
    redis: &Redis,
    subscriptions: &Subscriptions,
) -> Vec<JoinHandle<()>> {
    let new = || Endpoint {
        peers: peers.clone(),
        redis: redis.clone(),
        subscriptions: Arc::clone(subscriptions),
    };
    vec![tokio::spawn(new().publish_forever()), tokio::spawn(new().receive_forever())]
}

/// Announces to the other instances that this one shuts down.
pub(super) async fn announce_shutdown(peers: &Peers, redis: &Redis) {
    let Some(identity) = peers.0.identity.current() else { return };
    let message = encode(identity, &Message::Shutdown { from: peers.0.id });
    if let Err(error) = publish(redis, identity, message.into_iter().collect()).await {
        tracing::debug!(%error, "could not announce the shutdown to the other instances");
    }
}

/// The name of the channel of an epoch.
fn channel(redis: &Redis, identity: Identity) -> String {
    redis.key(identity, "changes")
}

async fn publish(
    redis: &Redis,
    identity: Identity,
    messages: Vec<Vec<u8>>,
) -> Result<(), Unavailable> {
    let channel = channel(redis, identity);
    let mut pipeline = redis::pipe();
    for bytes in messages {
        pipeline.publish(&channel, bytes).ignore();
    }
    redis
        .with_limit(PUBLISH_TIMEOUT, |mut connection| async move {
            pipeline.exec_async(&mut connection).await
        })
        .await
}

/// What each of the two tasks needs of the channel.
struct Endpoint {
    peers: Peers,
    redis: Redis,
    subscriptions: Subscriptions,
}

impl Endpoint {
    async fn publish_forever(self) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut paused_until = Instant::now();
        loop {
            let beat = tokio::select! {
                _ = ticks.tick() => true,
                () = self.peers.0.filled.notified() => false,
            };
            let now = Instant::now();
            self.peers.freshness().expire_peers(now);
            let Some(identity) = self.peers.0.identity.current() else { continue };
            let (mut messages, overflowed) = self.take(identity);
            if overflowed {
                paused_until = now + HEARTBEAT_PAUSE;
            }
            if beat && now >= paused_until {
                messages.extend(encode(identity, &Message::Heartbeat { from: self.peers.0.id }));
            }
            if messages.is_empty() {
                continue;
            }
            if let Err(error) = publish(&self.redis, identity, messages).await {
                tracing::debug!(%error, "changes were not announced");
                paused_until = Instant::now() + HEARTBEAT_PAUSE;
            }
        }
    }

    /// Takes the waiting messages of all topics for this epoch. Also returns whether items were dropped.
    fn take(&self, identity: Identity) -> (Vec<Vec<u8>>, bool) {
        let (mut encoded, mut any_overflowed) = (Vec::new(), false);
        for subscription in self.subscriptions.iter() {
            let (topic, from) = (subscription.topic(), self.peers.0.id);
            let Taken { at, messages, overflowed } = subscription.queue().take(identity);
            any_overflowed |= overflowed;
            let Some(at) = at else { continue };
            encoded.extend(
                messages.iter().filter_map(|items| {
                    encode(identity, &Message::Items { topic, from, at, items })
                }),
            );
        }
        (encoded, any_overflowed)
    }

    async fn receive_forever(self) {
        let mut identities = self.peers.0.identity.watch();
        loop {
            let identity = *identities.borrow_and_update();
            let Some(identity) = identity else {
                // The database has not answered yet. An error means that the server shuts down.
                if identities.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let channel_changed = tokio::select! {
                received = self.receive_until_lost(identity) => {
                    if let Err(error) = received {
                        tracing::debug!(%error, "cannot receive from the channel");
                    }
                    false
                }
                _ = identities.changed() => true,
            };
            if channel_changed {
                self.peers.freshness().channel_changed(Instant::now());
                continue;
            }
            self.peers.freshness().disconnected(Instant::now());
            sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn receive_until_lost(&self, identity: Identity) -> Result<(), Unavailable> {
        let mut listener = self.redis.listener().await?;
        let older = self.redis.common_key(older_release::CHANNEL);
        let channels = [channel(&self.redis, identity), older.clone()];
        let subscribed = timeout(RECEIVE_TIMEOUT, listener.subscribe(&channels[..])).await;
        if !matches!(subscribed, Ok(Ok(()))) {
            return Ok(());
        }
        let mut messages = listener.on_message();
        while let Ok(Some(message)) = timeout(RECEIVE_TIMEOUT, messages.next()).await {
            if message.get_channel_name() == older {
                self.receive_older(message.get_payload_bytes());
            } else {
                self.receive(identity, message.get_payload_bytes());
            }
        }
        Ok(())
    }

    fn receive(&self, identity: Identity, bytes: &[u8]) {
        let (now, own) = (Instant::now(), self.peers.0.id);
        let freshness = self.peers.freshness();
        match decode(identity, bytes) {
            Decoded::Message(Message::Heartbeat { from }) if from == own => {
                freshness.own_heartbeat(now);
            }
            Decoded::Message(Message::Heartbeat { from }) => freshness.peer_heartbeat(from, now),
            Decoded::Message(Message::Shutdown { from }) => freshness.peer_left(from, now),
            Decoded::Message(Message::Items { from, .. }) if from == own => {}
            Decoded::Message(Message::Items { topic, at, items, .. }) => {
                let age = self.peers.0.clock.now().seconds_since(at).max(0.0);
                let age = Duration::try_from_secs_f64(age).unwrap_or(Duration::MAX);
                let of_topic = self.subscriptions.iter().find(|it| it.topic() == topic);
                if !of_topic.is_some_and(|it| it.receive(items, age, now)) {
                    freshness.peer_cannot_announce(now);
                }
            }
            Decoded::OtherIdentity => {}
            // The sender is an instance of another release, so its changes are missed.
            Decoded::Unknown => freshness.peer_cannot_announce(now),
        }
    }

    fn receive_older(&self, bytes: &[u8]) {
        let (now, freshness) = (Instant::now(), self.peers.freshness());
        match older_release::decode(bytes) {
            Some(Message::Heartbeat { .. }) => freshness.older_release_heartbeat(now),
            // Another instance of that release may still run.
            Some(Message::Shutdown { .. }) => {}
            Some(Message::Items { topic, items, .. }) => {
                let of_topic = self.subscriptions.iter().find(|it| it.topic() == topic);
                if !of_topic.is_some_and(|it| it.receive_older(items, now)) {
                    freshness.peer_cannot_announce(now);
                }
            }
            None => freshness.peer_cannot_announce(now),
        }
    }
}
