//! Streams of events: appending, polling, waiting, several instances, and faults.

mod append;
mod faults;
mod polling;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use idlewatt::domain::Timestamp;
use idlewatt::store::Error;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::books::eventually;
use crate::support::{Player, Reply, TestApp};

/// Appends `count` events to a stream in one transaction, and returns the sequence of the last one.
pub async fn append(app: &TestApp, stream: &str, count: usize) -> Result<i64, Error> {
    let now = idlewatt::clock::Clock::now(&*app.world.clock);
    let mut transaction = app.server.store.begin().await?;
    let mut locked = transaction.lock_streams(vec![stream.to_owned()]).await?;
    for _ in 0..count {
        locked.add(stream, "test.event", now, None, "{}".to_owned())?;
    }
    let last = locked.head(stream);
    let heads = transaction.append_events(locked).await?;
    transaction.commit().await?;
    app.server.signals.announce_heads(heads);
    Ok(last)
}

/// The name of a player's stream.
pub fn stream_of(player: &Player) -> String {
    format!("player:{}", player.id)
}

/// Polls.
pub async fn poll(player: &Player, query: &str) -> Reply {
    player.get(&format!("/events?{query}")).await
}

/// The sequences of the events of an answer.
pub fn sequences(polled: &Value) -> Vec<i64> {
    let events = polled["events"].as_array().expect("a list");
    events.iter().map(|event| event["sequence"].as_i64().expect("a number")).collect()
}

/// A client that follows a stream by polls, as a page does. It panics at a gap, at an event that comes twice, and at a
/// resync.
pub struct Follower {
    player: Player,
    stream: String,
    pub position: i64,
}

impl Follower {
    pub fn new(player: &Player, stream: &str) -> Self {
        Self { player: player.clone(), stream: stream.to_owned(), position: 0 }
    }

    /// Polls at an instance, and takes what came. An answer that the server is unavailable changes nothing.
    pub async fn poll(&mut self, app: &TestApp, wait: u64) {
        let player = self.player.at(app);
        let query = format!("stream={}@{}&wait={wait}", self.stream, self.position);
        let reply = poll(&player, &query).await;
        if reply.status == 503 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            return;
        }
        let polled = reply.expect(200).json;
        assert_eq!(polled["streams"][0]["resync"], false, "{polled}");
        for sequence in sequences(&polled) {
            assert_eq!(sequence, self.position + 1, "a gap, or an event that came twice");
            self.position = sequence;
        }
    }

    /// Makes a change while a poll waits at an instance, which must be woken by it: before it would end by itself. Returns the
    /// result of the change.
    pub async fn woken_by<T>(&mut self, app: &TestApp, change: impl Future<Output = T>) -> T {
        const LONGEST: Duration = Duration::from_secs(20);
        let position = self.position;
        let waiting = app.metric("stream_polls_waiting");
        let changing = async {
            eventually("the poll waits", async || {
                (app.metric("stream_polls_waiting") > waiting).then_some(())
            })
            .await;
            change.await
        };
        let (_, changed) = tokio::join!(timeout(LONGEST, self.poll(app, 25)), changing);
        assert_eq!(self.position, position + 1, "the poll was not woken");
        changed
    }

    /// Polls until the event with that sequence has come.
    pub async fn follow_to(&mut self, app: &TestApp, sequence: i64) {
        while self.position < sequence {
            self.poll(app, 5).await;
        }
        assert_eq!(self.position, sequence);
    }
}

/// The time of the test's clock.
pub fn now(app: &TestApp) -> Timestamp {
    idlewatt::clock::Clock::now(&*Arc::clone(&app.world.clock))
}
