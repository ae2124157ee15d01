//! Writing a batch, and deciding what to attempt again.
//!
//! A batch is first written optimistically. If another instance has changed the row of an aggregate, its requests are
//! attempted again with the next batch; the other requests are answered. After two conflicts the row is locked before
//! it is read.

use std::collections::HashSet;
use std::time::Instant;

use tracing::Instrument;

use super::batch::{Batch, Envelope};
use super::held::MAX_LOCK_WAIT;
use super::{Aggregate, Failed, Failure, Mode};
use crate::store;
use crate::telemetry::metrics::Metrics;

/// Optimistic attempts before the rows are locked.
const OPTIMISTIC_ATTEMPTS: usize = 2;
/// The maximum number of attempts. A locked attempt fails only if Postgres rolls it back in favour of another
/// transaction.
const ATTEMPTS: usize = 8;

/// The requests of a batch that are not answered yet.
pub(super) struct Unanswered<A: Aggregate> {
    /// Requests to attempt again, before any later request for the same aggregates.
    pub(super) again: Vec<Envelope<A>>,
    /// Requests for rows that other transactions have locked.
    pub(super) locked: Vec<Envelope<A>>,
}

/// Writes batches of one lane.
pub(super) struct Writer<A> {
    pub(super) aggregate: A,
    pub(super) metrics: Metrics,
}

impl<A: Aggregate> Writer<A> {
    /// Performs and answers requests, and returns those that are not answered yet.
    pub(super) async fn perform(&self, envelopes: Vec<Envelope<A>>) -> Unanswered<A> {
        let batch = Batch::new(envelopes);
        let span = batch.span();
        let work = async {
            let exhausted = Failure::Unavailable("too many conflicts".into()).into();
            let batch = batch.without_exhausted(ATTEMPTS, &exhausted);
            let (batch, contended) = batch.without_contended(OPTIMISTIC_ATTEMPTS);
            let mut unanswered = Unanswered { again: Vec::new(), locked: Vec::new() };
            self.write(vec![(Mode::Locked, contended), (Mode::Optimistic, batch)], &mut unanswered)
                .await;
            unanswered
        };
        work.instrument(span).await
    }

    /// Attempts the parts of a batch, the last one first. If a part fails because of locked rows, it is attempted again
    /// without them. If it fails because Postgres rejects a row, the part is halved until that row is alone. If the
    /// database fails, the remaining parts are refused without an attempt, because each one would wait for a timeout
    /// too.
    async fn write(&self, mut parts: Vec<(Mode, Batch<A>)>, unanswered: &mut Unanswered<A>) {
        while let Some((mode, part)) = parts.pop() {
            let attempted = match self.attempt(part, mode).await {
                Ok(again) => {
                    unanswered.again.extend(again.into_envelopes());
                    Ok(Vec::new())
                }
                Err((error @ store::Error::Locked(_), part)) => {
                    self.set_apart_locked(&error, part, unanswered).await.map(Vec::from_iter)
                }
                Err((error, part)) if may_be_of_one_row(&error) && part.ids().nth(1).is_some() => {
                    tracing::debug!(%error, "a batch failed; its halves are attempted separately");
                    Ok(part.halves().into())
                }
                Err(failed) => Err(failed),
            };
            match attempted {
                Ok(rest) => parts.extend(rest.into_iter().map(|part| (mode, part))),
                Err((error, part)) => {
                    part.ids().for_each(|id| self.aggregate.invalidate(id));
                    refuse(&error, part);
                    if !may_be_of_one_row(&error) {
                        parts.drain(..).for_each(|(_, part)| refuse(&error, part));
                    }
                }
            }
        }
    }

    /// Called after the part timed out waiting for a lock. Moves the requests for locked rows to `unanswered.locked`
    /// and returns the others. If no row is locked any more, it was unlocked in between or a whole table is locked:
    /// then all requests are attempted again with the next batch, until they have waited for [`MAX_LOCK_WAIT`].
    async fn set_apart_locked(
        &self,
        error: &store::Error,
        mut part: Batch<A>,
        unanswered: &mut Unanswered<A>,
    ) -> Result<Option<Batch<A>>, (store::Error, Batch<A>)> {
        self.metrics.lock_waits.inc();
        let ids: Vec<_> = part.ids().collect();
        let locked: HashSet<_> = match A::locked(self.aggregate.store(), &ids).await {
            Ok(locked) => locked.into_iter().collect(),
            Err(store::Error::Locked(_)) => HashSet::new(),
            Err(error) => return Err((error, part)),
        };
        if locked.is_empty() {
            let now = Instant::now();
            part.wait_until(now + MAX_LOCK_WAIT);
            let part = part.without_overdue(now, &Failure::from(error).into());
            unanswered.again.extend(part.into_envelopes());
            return Ok(None);
        }
        let (rest, locked) = part.without(&locked);
        unanswered.locked.extend(locked.into_envelopes());
        Ok(Some(rest))
    }

    /// Attempts a batch once and returns the requests that must be attempted again. If the whole batch failed, returns
    /// it with the error.
    async fn attempt(
        &self,
        mut batch: Batch<A>,
        mode: Mode,
    ) -> Result<Batch<A>, (store::Error, Batch<A>)> {
        if batch.is_empty() {
            return Ok(batch);
        }
        match self.aggregate.attempt(&batch, mode).await {
            Ok(settled) => {
                batch.answer(settled);
                Ok(batch)
            }
            Err(Failed::Refused(error)) => {
                batch.refuse(&error);
                Ok(Batch::new(Vec::new()))
            }
            // Rolled back in favour of another transaction: nothing was written, so everything can be attempted again.
            Err(Failed::Store(store::Error::Contention(reason))) => {
                tracing::debug!(reason, "a batch was rolled back and is tried again");
                batch.count_attempt();
                Ok(batch)
            }
            Err(Failed::Store(error)) => Err((error, batch)),
        }
    }
}

/// Whether the error may be caused by a single row, and not by the state of the database.
fn may_be_of_one_row(error: &store::Error) -> bool {
    !error.is_passing()
}

/// Answers requests with an error of the store.
fn refuse<A: Aggregate>(error: &store::Error, rest: Batch<A>) {
    if !error.is_passing() {
        let ids: Vec<_> = rest.ids().collect();
        tracing::error!(%error, ?ids, "a row could not be written");
    }
    rest.refuse(&Failure::from(error).into());
}
