//! Requests for rows that other transactions have locked.
//!
//! If a row is locked, the lane's statement times out (`lock_timeout`, 30 ms). The lane then asks Postgres which rows
//! of the batch are locked. From then on the requests for those rows wait here, in order, and the lane writes the other
//! rows without waiting again. A query every few milliseconds on a second connection finds out which rows are still
//! locked; it does not wait for locks. When a row is unlocked, its requests return to the lane before any queued
//! request, so the order of each aggregate is kept. A request that has waited for too long is refused; nothing was
//! written for it.
//!
//! The number of waiting requests is limited to less than `http::shedding` always admits, so that there is always room
//! for other requests. If no row but a whole table is locked, the batch is attempted again for half a second.

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
/// The query interval while no request waits. The locked rows are still remembered, so that the next request for one of
/// them does not make the lane wait for the lock again.
const IDLE_QUERY_INTERVAL: Duration = Duration::from_secs(1);
/// How many requests may wait; further ones are refused at once. A waiting request counts as one of the mutations in
/// flight that `http::shedding` admits, and that limit is at least twice this number.
const MAX_WAITING: usize = 256;
/// How many rows are remembered as locked while no request for them waits.
const MAX_KNOWN: usize = 8192;

/// The locked rows of a lane.
pub(super) struct LockedRows<A: Aggregate> {
    store: Store,
    /// Rows that were locked when they were last queried.
    known: HashSet<Uuid>,
    /// The requests that wait for these rows, in the order of arrival.
    waiting: HashMap<Uuid, Vec<Envelope<A>>>,
    /// The total number of waiting requests.
    requests: usize,
    /// The query that is running.
    query: Option<Query>,
    queried_at: Instant,
    metrics: Metrics,
}

/// A query for which of some rows are still locked.
struct Query {
    queried: Vec<Uuid>,
    /// The locked rows; `None` if the query failed.
    held: JoinHandle<Option<HashSet<Uuid>>>,
}

impl<A: Aggregate> LockedRows<A> {
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
    pub(super) fn add(&mut self, envelopes: Vec<Envelope<A>>) {
        if envelopes.is_empty() {
            return;
        }
        if self.known.len() >= MAX_KNOWN {
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
        if self.requests >= MAX_WAITING {
            return envelope.answer(Err(lock_wait_error()));
        }
        envelope.wait_until(Instant::now() + MAX_LOCK_WAIT);
        self.waiting.entry(envelope.id()).or_default().push(envelope);
        self.requests += 1;
        self.metrics.held_commands.inc();
    }

    /// Waits for the next query result and returns the requests for rows that were unlocked, possibly none. Never
    /// returns while no row is locked. Cancel safe.
    pub(super) async fn unlocked(&mut self) -> Vec<Envelope<A>> {
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
        let unlocked = tokio::select! {
            (queried, held) = self.query_locked() => self.unlock(&queried, held),
            () = overdue => Vec::new(),
        };
        self.refuse_overdue();
        unlocked
    }

    /// Queries after the interval which rows are still locked. Returns the rows that were queried, and the locked ones.
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
        let queried = mem::take(&mut query.queried);
        self.query = None;
        self.queried_at = Instant::now();
        (queried, held)
    }

    /// Removes the rows that are no longer locked and returns the requests for them.
    fn unlock(&mut self, queried: &[Uuid], held: Option<HashSet<Uuid>>) -> Vec<Envelope<A>> {
        let Some(held) = held else {
            // There may be no connection. The lane will find out by its own timeout whether these rows are still
            // locked.
            self.known.retain(|id| self.waiting.contains_key(id));
            return Vec::new();
        };
        let mut unlocked = Vec::new();
        for id in queried.iter().filter(|id| !held.contains(id)) {
            self.known.remove(id);
            unlocked.extend(self.waiting.remove(id).into_iter().flatten());
        }
        self.count_removed(unlocked.len());
        unlocked
    }

    fn refuse_overdue(&mut self) {
        let now = Instant::now();
        let mut refused = 0;
        self.waiting.retain(|_, envelopes| {
            for mut envelope in envelopes.extract_if(.., |it| it.is_overdue(now)) {
                envelope.answer(Err(lock_wait_error()));
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
    fn begin<A: Aggregate>(store: &Store, queried: Vec<Uuid>) -> Self {
        let (store, ids) = (store.clone(), queried.clone());
        let held = tokio::spawn(async move {
            let held = A::locked(&store, &ids).await;
            held.inspect_err(|error| tracing::debug!(%error, "cannot ask which rows are locked"))
                .map(HashSet::from_iter)
                .ok()
        });
        Self { queried, held }
    }
}

/// The error of a request that has waited for too long. Nothing was applied.
fn lock_wait_error<E: From<Failure>>() -> E {
    Failure::Unavailable("another transaction has locked the row".into()).into()
}
