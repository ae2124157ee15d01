//! The queues of the lanes and their threads.

use std::sync::{Mutex, PoisonError, RwLock};
use std::{io, iter, mem, thread};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::batch::Envelope;
use super::held::LockedRows;
use super::retry::Writer;
use super::{Aggregate, Failure};
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;

/// How many requests may wait in a lane. Further ones are refused.
const QUEUE_LENGTH: usize = 8192;
/// Batch size from which a lane counts as contended. Below it most clients are waiting for this commit and send nothing
/// new.
const CONTENDED_BATCH: usize = 64;
/// The maximum number of requests in one commit.
const MAX_BATCH: usize = 512;
/// Batch size from which the fixed cost of a commit is small compared with the cost of its rows.
const AMPLE_BATCH: usize = 256;
/// How often a contended lane yields its processor before the next commit, at most.
const MAX_YIELDS: usize = 12;

/// All lanes of one kind of aggregate in this process. One lane suffices: with a second one the batches of 64 clients
/// were half as large, and it was not faster, because most of the cost of a commit does not depend on its size. It was
/// not faster either to start a second commit while the first one is in flight: the processors had no idle time to use.
pub struct Lanes<A: Aggregate> {
    /// One sender per lane; none after [`Lanes::drain`]. A lane ends when its queue is empty and has no sender.
    senders: RwLock<Vec<mpsc::Sender<Envelope<A>>>>,
    /// One receiver per lane, which receives a value when the lane has ended.
    ends: Mutex<Vec<oneshot::Receiver<()>>>,
    metrics: Metrics,
}

impl<A: Aggregate> Lanes<A> {
    /// Starts a lane for each of `aggregates`, on its own thread with its own runtime, so that Postgres's answer to a
    /// commit wakes only this thread. If a lane panics, it is not known what its batch has done, so `supervisor` ends
    /// the process.
    ///
    /// # Errors
    /// Returns an error if the system refuses another thread.
    pub fn start(
        aggregates: Vec<A>,
        metrics: &Metrics,
        supervisor: &Supervisor,
    ) -> Result<Self, io::Error> {
        let (mut senders, mut ends) = (Vec::new(), Vec::new());
        for aggregate in aggregates {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            let (ended, end) = oneshot::channel();
            senders.push(sender);
            ends.push(end);
            let store = aggregate.store().clone();
            let locked_rows = LockedRows::new(store.clone(), metrics.clone());
            let writer = Writer { aggregate, metrics: metrics.clone() };
            let lane = Lane { writer, queue: receiver, locked_rows };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.spawn(store.hold_connection());
            let guard = supervisor.guard("a lane");
            thread::Builder::new().name("lane".into()).spawn(move || {
                runtime.block_on(lane.run());
                guard.finish();
                // The caller of `drain` may no longer wait.
                ended.send(()).unwrap_or_default();
            })?;
        }
        let metrics = metrics.clone();
        Ok(Self { senders: RwLock::new(senders), ends: Mutex::new(ends), metrics })
    }

    /// Queues a request and waits for its answer.
    ///
    /// # Errors
    /// Returns the errors of the aggregate, and [`Failure`].
    pub async fn submit(&self, request: A::Request) -> Result<A::Answer, A::Error> {
        let (envelope, answer) = Envelope::new(request);
        self.enqueue(envelope)?;
        // The reply is dropped only if the lane panicked while it wrote the batch.
        answer.await.map_err(|_| Failure::Unavailable("the lane ended".into()))?
    }

    /// Queues a request without waiting for its answer. It is dropped if the queue is full.
    pub fn submit_unanswered(&self, request: A::Request) {
        if self.enqueue(Envelope::new(request).0).is_err() {
            tracing::debug!("the queue of a lane is full; a request without an answer is dropped");
        }
    }

    fn enqueue(&self, envelope: Envelope<A>) -> Result<(), Failure> {
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        let lane = lane_of(envelope.id(), senders.len());
        let sender = senders.get(lane).ok_or(Failure::Overloaded)?;
        sender.try_send(envelope).map_err(|_| Failure::Overloaded)?;
        self.metrics.queued_commands.inc();
        Ok(())
    }

    /// Closes the queues and waits until all queued requests are answered.
    pub async fn drain(&self) {
        self.senders.write().unwrap_or_else(PoisonError::into_inner).clear();
        let ends: Vec<_> =
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for end in ends {
            if end.await.is_err() {
                tracing::error!("a lane panicked");
            }
        }
    }
}

/// The index of an aggregate's lane. The last byte of a UUID of version 7 is random.
fn lane_of(id: Uuid, lanes: usize) -> usize {
    let [.., last] = *id.as_bytes();
    usize::from(last) % lanes.max(1)
}

/// A lane, owned by its thread.
struct Lane<A: Aggregate> {
    writer: Writer<A>,
    queue: mpsc::Receiver<Envelope<A>>,
    locked_rows: LockedRows<A>,
}

impl<A: Aggregate> Lane<A> {
    /// Writes batches until the queue is closed and every request is answered.
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.fill(&mut batch).await {
            let contended = batch.len() >= CONTENDED_BATCH;
            let unanswered = self.writer.perform(mem::take(&mut batch)).await;
            self.locked_rows.add(unanswered.locked);
            batch = unanswered.again;
            if contended {
                self.yield_processor();
            }
        }
    }

    /// Lets other threads run first while they have work, because their work leads to further requests: so the next
    /// batch becomes larger, and there are fewer commits. On an idle machine this takes no time.
    fn yield_processor(&self) {
        for _ in 0..MAX_YIELDS {
            if self.queue.len() >= AMPLE_BATCH {
                return;
            }
            thread::yield_now();
        }
    }

    /// Adds requests to `batch`, which contains those that are attempted again. Waits only while there is no request at
    /// all. Returns false when the queue is closed and no request remains.
    async fn fill(&mut self, batch: &mut Vec<Envelope<A>>) -> bool {
        // This must precede reading the queue, which may contain later requests for the same rows.
        batch.extend(self.locked_rows.unlocked().now_or_never().into_iter().flatten());
        loop {
            let before = batch.len();
            let mut closed = false;
            if batch.is_empty() {
                tokio::select! {
                    biased;
                    unlocked = self.locked_rows.unlocked() => {
                        *batch = unlocked;
                        continue;
                    }
                    received = self.queue.recv_many(batch, MAX_BATCH) => closed = received == 0,
                }
            } else {
                let room = MAX_BATCH.saturating_sub(before);
                batch.extend(iter::from_fn(|| self.queue.try_recv().ok()).take(room));
            }
            let received = i64::try_from(batch.len() - before).unwrap_or_default();
            self.writer.metrics.queued_commands.sub(received);
            self.locked_rows.divert(batch);
            if !batch.is_empty() {
                return true;
            }
            if closed {
                if !self.locked_rows.has_waiting() {
                    return false;
                }
                *batch = self.locked_rows.unlocked().await;
            }
        }
    }
}
