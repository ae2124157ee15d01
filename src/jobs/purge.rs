//! Jobs that delete expired data.

use uuid::Uuid;

use super::work::{Cursor, Error, Finished, Work};
use crate::cache::InvalidationGuard;
use crate::store::idempotency;
use crate::store::ring::Ring;
use crate::store::streams;

/// The maximum number of rows that one statement deletes.
const CHUNK: u64 = 1_000;
/// The maximum number of signals that one statement deletes.
const SIGNALS: u64 = 10_000;
/// The maximum number of guests that one step deletes.
const GUESTS: u32 = 200;
const DAY_SECONDS: f64 = 86_400.0;
/// Seconds after which a guest who never did anything is deleted.
const IDLE_GUEST_SECONDS: f64 = 30.0 * DAY_SECONDS;
/// Seconds for which finished jobs are kept.
const DONE_JOB_SECONDS: f64 = DAY_SECONDS;
/// Seconds for which a revocation is kept after the last affected access token has expired.
const REVOCATION_MARGIN_SECONDS: f64 = 600.0;

/// Deletes expired sessions.
pub(super) async fn sessions(work: Work) -> Result<Finished, Error> {
    loop {
        let mut step = work.begin().await?;
        if step.purge_sessions(work.now()).await? < CHUNK {
            return work.finish(step).await;
        }
        work.advance(step, &()).await?;
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}

/// Deletes revocations that are older than any valid access token.
pub(super) async fn revocations(work: Work) -> Result<Finished, Error> {
    let horizon = work.parts.accounts.access_token_ttl().as_secs_f64() + REVOCATION_MARGIN_SECONDS;
    let mut step = work.begin().await?;
    step.purge_revocations(work.now().plus_seconds(-horizon)).await?;
    work.finish(step).await
}

/// Empties the slots of idempotency records that are used next.
pub(super) async fn idempotency_slots(work: Work) -> Result<Finished, Error> {
    empty_slots(work, &idempotency::RINGS).await
}

/// Empties the slot of events that is used next.
pub(super) async fn event_slots(work: Work) -> Result<Finished, Error> {
    empty_slots(work, &[streams::RING]).await
}

async fn empty_slots(work: Work, rings: &[Ring]) -> Result<Finished, Error> {
    let substitute = work.parts.clock.substitute();
    match work.parts.store.empty_idle_slots(work.lease(), rings, substitute).await? {
        Some(_) => Ok(Finished::by_statement()),
        None => Err(Error::LeaseLost),
    }
}

/// Deletes signals that every instance has read.
pub(super) async fn signals(work: Work) -> Result<Finished, Error> {
    loop {
        let mut step = work.begin().await?;
        if step.purge_signals().await? < SIGNALS {
            return work.finish(step).await;
        }
        work.advance(step, &()).await?;
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}

/// Deletes guests who never did anything and were absent for thirty days.
pub(super) async fn guests(work: Work) -> Result<Finished, Error> {
    let mut after = work.progress::<Cursor>()?.map_or(Uuid::nil(), |it| it.after);
    loop {
        let unseen_since = work.now().plus_seconds(-IDLE_GUEST_SECONDS);
        let found = work.store().find_idle_guests(after, unseen_since, GUESTS.into()).await?;
        let mut step = work.begin().await?;
        let purged = step.purge_guests(&found, unseen_since, work.parts.clock.substitute()).await?;
        let guards: Vec<_> = purged.iter().map(|&id| work.parts.players.invalidate(id)).collect();
        let last = found.last().filter(|_| found.len() == GUESTS as usize).copied();
        let finished = match last {
            Some(last) => {
                work.advance(step, &Cursor { after: last }).await?;
                after = last;
                None
            }
            None => Some(work.finish(step).await?),
        };
        guards.into_iter().for_each(InvalidationGuard::confirm_deleted);
        if let Some(finished) = finished {
            return Ok(finished);
        }
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}

/// Deletes jobs that finished more than a day ago.
pub(super) async fn finished_jobs(work: Work) -> Result<Finished, Error> {
    loop {
        let mut step = work.begin().await?;
        if step.trim_jobs(work.now().plus_seconds(-DONE_JOB_SECONDS)).await? < CHUNK {
            return work.finish(step).await;
        }
        work.advance(step, &()).await?;
        if work.is_stopping() {
            return work.hand_back().await;
        }
    }
}
