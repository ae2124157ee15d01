//! Reading streams of events: polling, and waiting for what comes.
//!
//! A *stream* is an ordered list of events, numbered 1, 2, 3 in the order of commit (`store::streams`). A *position* is a
//! stream and a sequence, and clients hold it: nothing is stored about readers. So a client that was away for a moment or
//! for an hour asks any instance for what came after its position, and gets all of it in order, or `resync` if that is not
//! possible any more.
//!
//! Those who wait are woken by [`signals`](crate::signals). New events of followed streams are read once for all who wait
//! for them (`hub`).

mod hub;
mod name;
mod plan;
mod polls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

pub use hub::Listener;
pub use name::StreamName;
pub use plan::{MOST_BEHIND, MOST_EVENTS, MOST_STREAMS};

use crate::clock::Clock;
use crate::identity::Epoch;
use crate::signals::{Heads, Signals};
use crate::store::streams::{Event, Range};
use crate::store::{self, Store};
use crate::telemetry::metrics::StreamsMetrics;
use hub::Hub;
use plan::{Plan, Position};
use polls::Polls;

/// The longest wait of a poll.
pub const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// The pause after the database did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Why a poll is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream does not exist, or the player may not read it.
    #[error("there is no stream {0}")]
    NoSuchStream(String),
    /// The player has as many waiting polls as it may have.
    #[error("too many polls wait")]
    TooManyPolls,
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A question for what came after some positions.
#[derive(Clone, Debug)]
pub struct Poll {
    pub reader: Uuid,
    /// 1 to [`MOST_STREAMS`] streams, each with a sequence. Without one the stream starts at its head.
    pub positions: Vec<(StreamName, Option<i64>)>,
    /// The epoch of the positions, if the client knows one.
    pub epoch: Option<String>,
    /// How long to wait if there is nothing.
    pub wait: Duration,
}

/// What came after the positions of a poll.
#[derive(Clone, Debug)]
pub struct Polled {
    pub epoch: Epoch,
    /// By stream in the order of the poll, oldest first.
    pub events: Vec<Arc<Event>>,
    pub streams: Vec<Status>,
    /// Whether there is more to be read at once.
    pub more: bool,
}

/// A stream in the answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub name: StreamName,
    /// The sequence of the last event.
    pub head: i64,
    /// Whether the events after the position cannot be given. The client reads the resource again, and continues from
    /// `head`.
    pub resync: bool,
}

/// Reads streams.
pub struct Streams {
    store: Store,
    signals: Arc<Signals>,
    clock: Arc<dyn Clock>,
    metrics: StreamsMetrics,
    hub: Hub,
    /// [`Epoch::number`] of the history that `hub` holds. For a moment after a change it is not that of the database.
    held_epoch: AtomicU64,
    polls: Polls,
    next_waiter: AtomicU64,
}

impl Streams {
    pub fn new(
        store: Store,
        signals: Arc<Signals>,
        clock: Arc<dyn Clock>,
        metrics: StreamsMetrics,
    ) -> Self {
        let polls = Polls::new(metrics.waiting_polls.clone());
        Self {
            store,
            signals,
            clock,
            metrics,
            hub: Hub::default(),
            held_epoch: AtomicU64::new(Epoch::default().number()),
            polls,
            next_waiter: AtomicU64::new(0),
        }
    }

    /// The streams that a player should follow, each with its head, and the epoch of the heads.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn of_player(&self, player: Uuid) -> Result<(Epoch, Vec<Status>), store::Error> {
        let names = [StreamName::Player(player), StreamName::Announcements];
        let texts = names.map(|name| name.to_string());
        let epoch = self.store.identity().epoch();
        let heads = self.store.stream_heads(&texts.each_ref().map(String::as_str)).await?;
        let streams = names.into_iter().zip(heads);
        Ok((epoch, streams.map(|(name, head)| Status { name, head, resync: false }).collect()))
    }

    /// Answers a poll. If there is nothing, waits until there is something, at most for `poll.wait` and until `ended`
    /// returns.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchStream`], [`Error::TooManyPolls`], or the error of a statement.
    pub async fn poll(
        &self,
        poll: &Poll,
        ended: impl Future<Output = ()>,
    ) -> Result<Polled, Error> {
        if poll.wait.is_zero() {
            return self.resume(poll).await;
        }
        let (epoch, is_same_history, names) = self.begin(poll)?;
        let _place = self.polls.begin(poll.reader).ok_or(Error::TooManyPolls)?;
        let deadline = Instant::now() + poll.wait;
        // Follows before the heads are read, so that no event falls between the two.
        let follower = self.follow(&names);
        let mut heads = self.heads(&names).await?;
        self.hub.seed(follower.era, &names, &heads);
        let mut positions = positions(poll, &heads);
        tokio::pin!(ended);
        let mut is_over = false;
        loop {
            let present = self.store.identity().epoch();
            let is_same_history = is_same_history && present == epoch;
            let answer =
                self.answer(present, is_same_history, &mut positions, &names, &heads).await?;
            let has_news = !answer.events.is_empty() || answer.streams.iter().any(|it| it.resync);
            if has_news || is_over {
                return Ok(answer);
            }
            tokio::select! {
                () = follower.notify.notified() => {}
                () = sleep_until(deadline) => is_over = true,
                () = &mut ended => is_over = true,
            }
            if is_over || self.store.identity().epoch() != epoch {
                heads = self.heads(&names).await?;
            }
            if let Some(hub) = self.held() {
                for (head, name) in heads.iter_mut().zip(&names) {
                    *head = hub.head(name).max(*head);
                }
            }
        }
    }

    /// What came after the positions, as an answer to a poll that does not wait.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchStream`], or the error of a statement.
    pub async fn resume(&self, poll: &Poll) -> Result<Polled, Error> {
        let (epoch, is_same_history, names) = self.begin(poll)?;
        let era = self.hub.era();
        let heads = self.heads(&names).await?;
        // For listeners that follow the streams.
        self.hub.seed(era, &names, &heads);
        let mut positions = positions(poll, &heads);
        self.answer(epoch, is_same_history, &mut positions, &names, &heads).await
    }

    /// The epoch, whether the positions are of the same history, and the names of the streams.
    fn begin(&self, poll: &Poll) -> Result<(Epoch, bool, Vec<Arc<str>>), Error> {
        let refused = poll.positions.iter().find(|(name, _)| !name.is_readable_by(poll.reader));
        if let Some((name, _)) = refused {
            return Err(Error::NoSuchStream(name.to_string()));
        }
        let epoch = self.epoch();
        let names = poll.positions.iter().map(|(name, _)| name.to_string().into()).collect();
        let is_same_history = poll.epoch.as_ref().is_none_or(|it| *it == epoch.to_string());
        Ok((epoch, is_same_history, names))
    }

    /// The epoch of the database: the history that sequences belong to.
    pub fn epoch(&self) -> Epoch {
        self.store.identity().epoch()
    }

    /// A number for a listener that calls [`Streams::join`].
    pub fn listener_number(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    /// Notifies a listener of new events of a stream, until [`Streams::leave`] is called with the same number.
    pub fn join(&self, listener_number: u64, stream: &Arc<str>, listener: &Arc<dyn Listener>) {
        self.hub.follow(listener_number, std::slice::from_ref(stream), listener);
        self.signals.received().begin_waiting();
    }

    /// Ends what [`Streams::join`] began.
    pub fn leave(&self, listener_number: u64, stream: &Arc<str>) {
        self.hub.leave(listener_number, std::slice::from_ref(stream));
        self.signals.received().end_waiting();
    }

    /// The head of a stream, as it is in the database.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn head(&self, name: StreamName) -> Result<i64, Error> {
        let names = [name.to_string().into()];
        let era = self.hub.era();
        let heads = self.heads(&names).await?;
        // For listeners that follow the stream.
        self.hub.seed(era, &names, &heads);
        Ok(heads.first().copied().unwrap_or(0))
    }

    /// What a listener gets of a stream that it follows: up to [`MOST_EVENTS`] events after a sequence of this epoch.
    /// Returns `None` if nothing new is known.
    ///
    /// # Errors
    /// Returns the error of a statement.
    pub async fn news(
        &self,
        name: StreamName,
        stream: &Arc<str>,
        after: i64,
    ) -> Result<Option<Polled>, Error> {
        // If the history has just changed, listeners are notified again when the hub has forgotten the old one.
        let head = self.held().map_or(0, |hub| hub.head(stream));
        if head <= after {
            return Ok(None);
        }
        let names = std::slice::from_ref(stream);
        let answer = self
            .answer(self.epoch(), true, &mut [Position { name, after }], names, &[head])
            .await?;
        Ok(Some(answer))
    }

    async fn heads(&self, names: &[Arc<str>]) -> Result<Vec<i64>, store::Error> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.store.stream_heads(&names).await
    }

    /// The answer for these positions. Positions that cannot be continued are moved to the head.
    async fn answer(
        &self,
        epoch: Epoch,
        is_same_history: bool,
        positions: &mut [Position],
        names: &[Arc<str>],
        heads: &[i64],
    ) -> Result<Polled, Error> {
        let mut plan = Plan::new(positions, heads, is_same_history);
        let events = self.read(&plan.ranges(names)).await?;
        plan.check(names, &events);
        let streams = positions.iter().zip(heads).enumerate().map(|(index, (position, &head))| {
            Status { name: position.name, head, resync: plan.is_resync(index) }
        });
        let streams: Vec<_> = streams.collect();
        let lost: Vec<&str> = streams
            .iter()
            .zip(names)
            .filter(|(status, _)| status.resync)
            .map(|(_, name)| name.as_ref())
            .collect();
        let events = events.into_iter().filter(|event| !lost.contains(&event.stream.as_str()));
        Ok(Polled { epoch, events: events.collect(), more: plan.has_more(), streams })
    }

    /// The events of ranges, by range, from memory or from the database.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<Arc<Event>>, store::Error> {
        let held = self.held();
        let mut found: Vec<_> = ranges.iter().map(|range| held?.recent(range)).collect();
        let missing = ranges.iter().zip(&found).filter(|(_, events)| events.is_none());
        let missing: Vec<Range> = missing.map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let mut read = self.store.read_events(&missing).await?;
            for (range, events) in ranges.iter().zip(&mut found) {
                if events.is_none() {
                    let own = read.extract_if(.., |event| event.stream == range.stream);
                    *events = Some(own.map(Arc::new).collect());
                }
            }
        }
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn follow<'a>(&'a self, streams: &'a [Arc<str>]) -> Follower<'a> {
        let waiter = self.listener_number();
        let notify = Arc::new(Notify::new());
        let listener: Arc<dyn Listener> = Arc::<Notify>::clone(&notify);
        let era = self.hub.follow(waiter, streams, &listener);
        self.signals.received().begin_waiting();
        Follower { owner: self, waiter, era, streams, notify }
    }

    /// Reads new events of followed streams whenever there is a signal. Never returns.
    pub async fn follow_forever(&self) {
        loop {
            let heads = self.signals.received().next_heads().await;
            while let Err(error) = self.read_followed(&heads).await {
                tracing::debug!(%error, "new events could not be read");
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn read_followed(&self, heads: &Heads) -> Result<(), store::Error> {
        let mut known: Vec<(String, i64)> =
            heads.known.iter().map(|(stream, &head)| (stream.clone(), head)).collect();
        if heads.check_all {
            let names = self.hub.names();
            let heads = self.heads(&names).await?;
            known.extend(names.iter().map(|name| name.as_ref().to_owned()).zip(heads));
        }
        let wanted = self.hub.wanted(known);
        if wanted.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&str> = wanted.unknown.iter().map(String::as_str).collect();
        let heads =
            if unknown.is_empty() { vec![] } else { self.store.stream_heads(&unknown).await? };
        let events = if wanted.ranges.is_empty() {
            vec![]
        } else {
            self.store.read_events(&wanted.ranges).await?
        };
        let now = self.clock.now();
        for event in &events {
            self.metrics.delivery_seconds.observe(now.seconds_since(event.at).max(0.0));
        }
        self.metrics.followed_events.inc_by(events.len() as u64);
        self.hub.add(&wanted, events, heads);
        Ok(())
    }

    /// Begins with the history of the database: forgets everything that was read, because the database was restored or
    /// replaced, or the server starts. Polls that wait answer with `resync`.
    pub fn begin_epoch(&self, epoch: Epoch) {
        // Until both are done, nothing of the hub is used.
        self.held_epoch.store(Epoch::default().number(), Ordering::Release);
        self.hub.forget_all();
        self.held_epoch.store(epoch.number(), Ordering::Release);
        self.hub.notify_all();
    }

    /// Whether recent events are of the history of this epoch.
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.held_epoch.load(Ordering::Acquire) == epoch.number()
    }

    /// The recent events, if they are of the present history.
    fn held(&self) -> Option<&Hub> {
        self.holds(self.epoch()).then_some(&self.hub)
    }

    /// The number of followed streams.
    pub fn followed(&self) -> usize {
        self.hub.len()
    }
}

/// The positions of a poll. A stream without one starts at its head.
fn positions(poll: &Poll, heads: &[i64]) -> Vec<Position> {
    let positions = poll.positions.iter().zip(heads);
    positions
        .map(|(&(name, after), &head)| Position { name, after: after.unwrap_or(head) })
        .collect()
}

/// Follows streams until it is dropped.
struct Follower<'a> {
    owner: &'a Streams,
    waiter: u64,
    /// The era of the hub before any head was read.
    era: u64,
    streams: &'a [Arc<str>],
    notify: Arc<Notify>,
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.owner.hub.leave(self.waiter, self.streams);
        self.owner.signals.received().end_waiting();
    }
}
