//! Signals: what was committed, as instances tell each other, so that each looks at it at once.
//!
//! A signal is a row of the table `signals`, written in the transaction of the change. Every instance reads the new rows
//! twice a second, and ten times a second while it waits for events and messages of other instances may be lost. So a
//! signal reaches every instance even without Redis, and even if its writer ends right after the commit. While Redis
//! works, the writer also publishes the signal over the channel of [`Peers`], which takes about a millisecond.
//!
//! A signal says where something changed, and does not contain the change: receivers read the database. So signals may
//! arrive twice, late and in any order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::peers::{Peers, Publisher, Topic};
use crate::store::{self, Store};
use crate::telemetry::metrics::StreamsMetrics;

/// How often signals are read from the database.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often they are read while somebody waits for events and messages may be lost.
const SHORT_INTERVAL: Duration = Duration::from_millis(100);
/// Signals are deleted after a minute. After a longer pause some may have been missed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often everything that is followed is checked, in case a signal was lost for a reason that nobody thought of.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// What a transaction changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Something that the poller reads: revocations, catalogues, silences.
    pub poll: bool,
    /// The outbox has new entries.
    pub outbox: bool,
    /// Streams with new events, and the sequence of an event of each.
    pub heads: Vec<(String, i64)>,
}

impl Signal {
    /// Something that the poller reads.
    pub fn poll() -> Self {
        Self { poll: true, ..Self::default() }
    }

    /// New events.
    pub fn heads(heads: Vec<(String, i64)>) -> Self {
        Self { heads, ..Self::default() }
    }
}

/// Sends and receives signals.
pub struct Signals {
    store: Store,
    peers: Peers,
    received: Arc<Received>,
    publisher: Option<Publisher<Signal>>,
    metrics: StreamsMetrics,
}

/// Signals that were received and not yet taken.
#[derive(Default)]
pub struct Received {
    poll: Notify,
    outbox: Notify,
    heads: Mutex<Heads>,
    new_heads: Notify,
    /// How many wait for events.
    waiting: AtomicUsize,
}

/// Which streams have new events.
#[derive(Debug, Default)]
pub struct Heads {
    pub known: HashMap<String, i64>,
    /// Whether signals may have been lost, so that the heads of all streams must be read.
    pub check_all: bool,
}

impl Received {
    fn receive(&self, signal: Signal) {
        if signal.poll {
            self.poll.notify_one();
        }
        if signal.outbox {
            self.outbox.notify_one();
        }
        if !signal.heads.is_empty() {
            let mut heads = self.lock();
            for (stream, head) in signal.heads {
                let known = heads.known.entry(stream).or_insert(head);
                *known = head.max(*known);
            }
            drop(heads);
            self.new_heads.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that the poller reads has changed.
    pub async fn poll_wanted(&self) {
        self.poll.notified().await;
    }

    /// The outbox has new entries.
    pub async fn outbox_filled(&self) {
        self.outbox.notified().await;
    }

    /// Streams with new events.
    pub async fn next_heads(&self) -> Heads {
        self.new_heads.notified().await;
        std::mem::take(&mut *self.lock())
    }

    /// Makes [`Received::next_heads`] return with the request to read the heads of all streams.
    pub fn check_all(&self) {
        self.lock().check_all = true;
        self.new_heads.notify_one();
    }

    /// Notes that somebody waits for events, so that signals are read more often if messages may be lost.
    pub fn begin_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends what [`Received::begin_waiting`] began.
    pub fn end_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Signals {
    /// Registers the topic. `publishes` is false while instances of the previous release run beside this one, which do
    /// not know the topic.
    pub fn new(store: Store, peers: Peers, publishes: bool, metrics: StreamsMetrics) -> Self {
        let received = Arc::new(Received::default());
        let publisher = publishes.then(|| {
            let received = Arc::clone(&received);
            let receive = move |signal, _: Duration, _: Instant| received.receive(signal);
            peers.register(Topic::SIGNALS, Box::new(receive), None)
        });
        Self { store, peers, received, publisher, metrics }
    }

    /// The signals of other instances, and of this one.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Tells this and the other instances what was just committed.
    pub fn announce(&self, signal: Signal) {
        if let Some(publisher) = &self.publisher {
            publisher.publish_now(signal.clone());
        }
        self.received.receive(signal);
    }

    /// As [`Signals::announce`], for new events of streams.
    pub fn announce_heads(&self, heads: Vec<(String, i64)>) {
        if !heads.is_empty() {
            self.announce(Signal::heads(heads));
        }
    }

    /// Reads signals from the database. Never returns.
    pub async fn read_forever(&self) {
        let mut ticks = interval(SHORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reader = Reader::default();
        loop {
            let now = ticks.tick().await.into_std();
            let is_uncertain = self.received.waiting.load(Ordering::Relaxed) > 0
                && !self.peers.freshness().is_connected(now);
            let is_due = reader.read_at.is_none_or(|at| now.duration_since(at) >= INTERVAL);
            if (is_uncertain || is_due)
                && let Err(error) = self.read_once(&mut reader, now).await
            {
                // The poller reports that the database does not answer.
                tracing::debug!(%error, "signals could not be read");
            }
        }
    }

    async fn read_once(&self, reader: &mut Reader, now: Instant) -> Result<(), store::Error> {
        let before = reader.read_at.replace(now);
        let paused = before.is_none_or(|at| now.duration_since(at) > LONGEST_PAUSE);
        let connections = self.store.identity().is_still_valid(before.unwrap_or(now));
        let snapshot = reader.snapshot.as_deref().filter(|_| !paused);
        let read = match self.store.read_signals(snapshot).await {
            Ok(read) => read,
            Err(error) => {
                reader.checked_at = None;
                return Err(error);
            }
        };
        let store::signals::Signals { poll, outbox, heads, oldest_seconds, snapshot } = read;
        if poll || outbox || !heads.is_empty() {
            self.metrics.signal_seconds.observe(oldest_seconds);
        }
        reader.snapshot = Some(snapshot);
        self.received.receive(Signal { poll, outbox, heads });
        // A server that was restarted has lost its signals, and another one never had them.
        let is_due = reader.checked_at.is_none_or(|at| now.duration_since(at) >= CHECK_INTERVAL);
        if paused || !connections || is_due {
            reader.checked_at = Some(now);
            self.received.outbox.notify_one();
            self.received.check_all();
        }
        Ok(())
    }
}

/// How far signals were read.
#[derive(Debug, Default)]
struct Reader {
    snapshot: Option<String>,
    read_at: Option<Instant>,
    /// When everything was last checked.
    checked_at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_highest_head_of_each_stream_is_kept_until_it_is_taken() {
        let received = Received::default();
        let heads = |sequence| Signal::heads(vec![("player:1".to_owned(), sequence)]);
        received.receive(heads(2));
        received.receive(heads(5));
        received.receive(heads(3));
        let taken = received.next_heads().await;
        assert_eq!(taken.known, HashMap::from([("player:1".to_owned(), 5)]));
        assert!(!taken.check_all);
        received.check_all();
        let taken = received.next_heads().await;
        assert!(taken.check_all && taken.known.is_empty());
    }
}
