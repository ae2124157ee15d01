//! Lanes: queues of commands, each with one writer.
//!
//! A player's commands all go to the same lane, so within a process nothing races for a row. While a lane's commit is in
//! flight further commands queue up, and the next commit takes them all: no timer makes a lone command wait, and a busy
//! lane writes big batches.

use std::sync::{Mutex, PoisonError, RwLock};
use std::{io, iter, mem, thread};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::Error;
use super::batch::Envelope;
use super::held::Held;
use super::request::{Answer, Request};
use super::writer::Writer;
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;

/// Few lanes make big batches. A second one was no faster with 64 clients: its batches were half as big, and most of a
/// batch's cost does not depend on its size. Nor was a second commit that takes off while the first is in flight, once as
/// many have queued again: what is idle then does not wait for commits.
pub(super) const LANES: usize = 1;
/// Commands that may wait in a lane; beyond, a newcomer is told to come back.
const QUEUE_LENGTH: usize = 8192;
/// Commands in one commit that tell of a crowd. Of fewer players most wait for this very commit, and bring nothing meanwhile.
const CROWD: usize = 64;
/// Commands in one commit at most.
const MAX_BATCH: usize = 512;
/// Commands among which what a commit costs whatever its size no longer counts for much.
const AMPLE_BATCH: usize = 256;
/// How often a crowded lane lets other threads run before a commit, at most.
const TURNS_LEFT_TO_OTHERS: usize = 12;

/// All lanes of a process.
pub(super) struct Lanes {
    /// Emptied when the lanes are drained: a lane ends once its queue can get no more.
    senders: RwLock<Vec<mpsc::Sender<Envelope>>>,
    /// Each tells when its lane has ended.
    ends: Mutex<Vec<oneshot::Receiver<()>>>,
    metrics: Metrics,
}

impl Lanes {
    /// Starts the lanes, each on a thread of its own: a commit's answer then wakes one thread and not three. A lane that
    /// panics is beyond repair, as nobody knows what its batch has done: the supervisor has the process end.
    pub(super) fn start(
        writers: Vec<Writer>,
        metrics: Metrics,
        supervisor: &Supervisor,
    ) -> Result<Self, io::Error> {
        let (mut senders, mut ends) = (Vec::new(), Vec::new());
        for writer in writers {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            let (ended, end) = oneshot::channel();
            senders.push(sender);
            ends.push(end);
            let store = writer.store.clone();
            let held = Held::new(store.clone(), metrics.clone());
            let lane = Lane { writer, queue: receiver, held, metrics: metrics.clone() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.spawn(store.hold_connection());
            let guard = supervisor.guard("a lane");
            thread::Builder::new().name("lane".into()).spawn(move || {
                runtime.block_on(lane.run());
                guard.finish();
                // Whoever drains may have given up waiting.
                ended.send(()).unwrap_or_default();
            })?;
        }
        Ok(Self { senders: RwLock::new(senders), ends: Mutex::new(ends), metrics })
    }

    /// Queues a request and waits for its answer.
    pub(super) async fn submit(&self, request: Request) -> Result<Answer, Error> {
        let (envelope, answer) = Envelope::new(request);
        self.enqueue(envelope)?;
        // The reply is dropped only when the lane has died in the middle of a batch.
        answer.await.map_err(|_| Error::Unavailable("the lane ended".into()))?
    }

    /// Queues a request whose answer nobody waits for. Where the lane is full it is dropped.
    pub(super) fn submit_unheard(&self, request: Request) {
        if self.enqueue(Envelope::new(request).0).is_err() {
            tracing::debug!("a lane is full; a presence note is dropped");
        }
    }

    fn enqueue(&self, envelope: Envelope) -> Result<(), Error> {
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        let lane = lane_of(envelope.request.player, senders.len());
        let sender = senders.get(lane).ok_or(Error::Overloaded)?;
        sender.try_send(envelope).map_err(|_| Error::Overloaded)?;
        self.metrics.queued_commands.inc();
        Ok(())
    }

    /// Closes the lanes and waits until all that was queued is answered.
    pub(super) async fn drain(&self) {
        self.senders.write().unwrap_or_else(PoisonError::into_inner).clear();
        let ends: Vec<_> =
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for end in ends {
            if end.await.is_err() {
                tracing::error!("a lane had died");
            }
        }
    }
}

/// The lane of a player. The last bytes of a UUIDv7 are random.
fn lane_of(player: Uuid, lanes: usize) -> usize {
    let [.., last] = *player.as_bytes();
    usize::from(last) % lanes.max(1)
}

/// In a crowd the other threads have work enough, of which further commands come: they are let run first, so that the next
/// batch is bigger, and commits are fewer. On an idle machine that takes no time.
fn let_others_run(queue: &mpsc::Receiver<Envelope>) {
    for _ in 0..TURNS_LEFT_TO_OTHERS {
        if queue.len() >= AMPLE_BATCH {
            return;
        }
        thread::yield_now();
    }
}

/// What the thread of a lane owns.
struct Lane {
    writer: Writer,
    queue: mpsc::Receiver<Envelope>,
    held: Held,
    metrics: Metrics,
}

impl Lane {
    /// Writes batches until the queue is closed and every command is answered.
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.fill(&mut batch).await {
            let crowded = batch.len() >= CROWD;
            let left = self.writer.perform(mem::take(&mut batch)).await;
            self.held.set_apart(left.held);
            batch = left.again;
            if crowded {
                let_others_run(&self.queue);
            }
        }
    }

    /// Adds commands to `batch`, which holds those that are attempted again. Waits only while there are none at all.
    /// Returns false once the queue is closed and no command is left.
    async fn fill(&mut self, batch: &mut Vec<Envelope>) -> bool {
        // Before the queue is read: later commands of the same players may be in it.
        batch.extend(self.held.freed().now_or_never().into_iter().flatten());
        loop {
            let before = batch.len();
            let mut closed = false;
            if batch.is_empty() {
                tokio::select! {
                    biased;
                    freed = self.held.freed() => {
                        *batch = freed;
                        continue;
                    }
                    received = self.queue.recv_many(batch, MAX_BATCH) => closed = received == 0,
                }
            } else {
                let room = MAX_BATCH.saturating_sub(before);
                batch.extend(iter::from_fn(|| self.queue.try_recv().ok()).take(room));
            }
            let received = i64::try_from(batch.len() - before).unwrap_or_default();
            self.metrics.queued_commands.sub(received);
            self.held.divert(batch);
            if !batch.is_empty() {
                return true;
            }
            if closed {
                if !self.held.has_waiting() {
                    return false;
                }
                *batch = self.held.freed().await;
            }
        }
    }
}
