//! Requests for rows that other transactions have locked.
//!
//! The lane learns that a row is locked when its statement times out (`lock_timeout`, 30 ms). It asks Postgres which
//! rows of the batch are locked. From then on the requests for those rows wait here, in their order, and the lane
//! writes the other rows without waiting again. A second connection asks every few milliseconds which rows are still
//! locked, without waiting for a lock. The requests for unlocked rows return to the lane, before any request that is
//! still queued, so the order of each aggregate is kept. A request that has waited for too long is refused, and nothing
//! of it was written.
//!
//! The number of waiting requests is bounded below what `http::shedding` always admits, so that they cannot exclude the
//! others. If no row is locked but a table is, the whole batch is tried again for half a second.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::mem;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use uuid::Uuid;

use super::batch::Envelope;
use super::{Aggregate, Failure};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// How long a request waits for a lock before it is refused.
pub(super) const MAX_LOCK_WAIT: Duration = Duration::from_millis(500);
/// The query interval while requests wait.
const QUERY_INTERVAL: Duration = Duration::from_millis(10);
/// The query interval while none waits. Rows stay known as locked meanwhile, so that the next request for one of
/// them does not make the lane wait again.
const IDLE_QUERY_INTERVAL: Duration = Duration::from_secs(1);
/// Requests that may wait; further ones are refused at once. Each of them is one of the mutations in flight that
/// `http::shedding` admits, which are never fewer than twice this number.
const MOST_WAITING: usize = 256;
/// Rows that are remembered as locked while no request for them waits.
const MOST_KNOWN: usize = 8192;

/// The locked rows of a lane.
pub(super) struct Held<A: Aggregate> {
    store: Store,
    /// Rows that were locked when Postgres was last asked.
    known: HashSet<Uuid>,
    /// The requests that wait for one of them, in their order.
    waiting: HashMap<Uuid, Vec<Envelope<A>>>,
    /// How many requests wait in all.
    requests: usize,
    /// The question that is not answered yet.
    query: Option<Query>,
    queried_at: Instant,
    metrics: Metrics,
}

/// Asks Postgres which of some rows are still locked.
struct Query {
    asked: Vec<Uuid>,
    /// The locked ones; `None` if Postgres did not answer.
    held: JoinHandle<Option<HashSet<Uuid>>>,
}

impl<A: Aggregate> Held<A> {
    pub(super) fn new(store: Store, metrics: Metrics) -> Self {
        Self {
            store,
            known: HashSet::new(),
            waiting: HashMap::new(),
            requests: 0,
            query: None,
            queried_at: Instant::now(),
            metrics,
        }
    }

    /// Whether any request waits.
    pub(super) fn has_waiting(&self) -> bool {
        self.requests > 0
    }

    /// Adds requests for rows that were found to be locked.
    pub(super) fn set_apart(&mut self, envelopes: Vec<Envelope<A>>) {
        if envelopes.is_empty() {
            return;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.retain(|id| self.waiting.contains_key(id));
        }
        let before = self.known.len();
        self.known.extend(envelopes.iter().map(Envelope::id));
        let rows = self.known.len() - before;
        tracing::info!(rows, "other transactions have locked rows; requests for them wait");
        for envelope in envelopes {
            self.wait(envelope);
        }
    }

    /// Takes the requests for locked rows out of `batch`.
    pub(super) fn divert(&mut self, batch: &mut Vec<Envelope<A>>) {
        if self.known.is_empty() {
            return;
        }
        let is_held = |envelope: &mut Envelope<A>| self.known.contains(&envelope.id());
        let held: Vec<_> = batch.extract_if(.., is_held).collect();
        for envelope in held {
            self.wait(envelope);
        }
    }

    fn wait(&mut self, mut envelope: Envelope<A>) {
        if self.requests >= MOST_WAITING {
            return envelope.answer(Err(refusal()));
        }
        envelope.wait_until(Instant::now() + MAX_LOCK_WAIT);
        self.waiting.entry(envelope.id()).or_default().push(envelope);
        self.requests += 1;
        self.metrics.held_commands.inc();
    }

    /// Waits for the next answer and returns the requests for rows that were unlocked, which may be none. Never returns while
    /// no row is locked. Cancel safe.
    pub(super) async fn freed(&mut self) -> Vec<Envelope<A>> {
        if self.known.is_empty() {
            return pending().await;
        }
        let overdue_at = self.waiting.values().flatten().filter_map(Envelope::waits_until).min();
        let overdue = async {
            match overdue_at {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let freed = tokio::select! {
            (asked, held) = self.query_locked() => self.free(&asked, held),
            () = overdue => Vec::new(),
        };
        self.refuse_overdue();
        freed
    }

    /// Asks which rows are still locked, after the interval. Returns the rows that were asked about, and the answer.
    async fn query_locked(&mut self) -> (Vec<Uuid>, Option<HashSet<Uuid>>) {
        if self.query.is_none() {
            let pause = if self.has_waiting() { QUERY_INTERVAL } else { IDLE_QUERY_INTERVAL };
            sleep_until((self.queried_at + pause).into()).await;
        }
        let query = self.query.get_or_insert_with(|| {
            let waiting: Vec<_> = self.waiting.keys().copied().collect();
            let known = || self.known.iter().copied().collect();
            Query::begin::<A>(&self.store, if waiting.is_empty() { known() } else { waiting })
        });
        let held = (&mut query.held).await.ok().flatten();
        let asked = mem::take(&mut query.asked);
        self.query = None;
        self.queried_at = Instant::now();
        (asked, held)
    }

    /// Removes the rows that are no longer locked and returns the requests for them.
    fn free(&mut self, asked: &[Uuid], held: Option<HashSet<Uuid>>) -> Vec<Envelope<A>> {
        let Some(held) = held else {
            // There may be no connection. The lane finds out itself whether these rows are still locked.
            self.known.retain(|id| self.waiting.contains_key(id));
            return Vec::new();
        };
        let mut freed = Vec::new();
        for id in asked.iter().filter(|id| !held.contains(id)) {
            self.known.remove(id);
            freed.extend(self.waiting.remove(id).into_iter().flatten());
        }
        self.count_removed(freed.len());
        freed
    }

    fn refuse_overdue(&mut self) {
        let now = Instant::now();
        let mut refused = 0;
        self.waiting.retain(|_, envelopes| {
            for mut envelope in envelopes.extract_if(.., |it| it.is_overdue(now)) {
                envelope.answer(Err(refusal()));
                refused += 1;
            }
            !envelopes.is_empty()
        });
        self.count_removed(refused);
    }

    fn count_removed(&mut self, number: usize) {
        self.requests -= number;
        self.metrics.held_commands.sub(i64::try_from(number).unwrap_or_default());
    }
}

impl Query {
    fn begin<A: Aggregate>(store: &Store, asked: Vec<Uuid>) -> Self {
        let (store, ids) = (store.clone(), asked.clone());
        let held = tokio::spawn(async move {
            let held = A::locked(&store, &ids).await;
            held.inspect_err(|error| tracing::debug!(%error, "cannot ask which rows are locked"))
                .map(HashSet::from_iter)
                .ok()
        });
        Self { asked, held }
    }
}

/// The error of a request that has waited for too long. Nothing was applied.
fn refusal<E: From<Failure>>() -> E {
    Failure::Unavailable("another transaction has locked the row".into()).into()
}
