//! Writing a batch: attempting it, answering, and again for those whose row had moved on.
//!
//! A batch is optimistic first: it starts from rows that the lane kept, and every row is written only if its revision is
//! still the one that was folded. Players whose row another instance wrote meanwhile come along with the next batch, from a
//! row that was announced by then or is read; the others are answered. After two conflicts the rows are locked before they
//! are folded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument;

use super::Error;
use super::attempt::{Attempt, Fold};
use super::batch::{ALL_OUTDATED, Batch, Envelope, Settled};
use super::held::PATIENCE;
use super::moment::Moment;
use crate::cache::Players;
use crate::catalogue::Catalogues;
use crate::domain::{LedgerEntry, LedgerKind};
use crate::rankings::Seen;
use crate::store::players::PlayerRecord;
use crate::store::{self, Store};
use crate::telemetry::metrics::Metrics;

/// Attempts that trust the revision guard before the rows are locked.
const OPTIMISTIC_ATTEMPTS: usize = 2;
/// Attempts at all. A locked attempt fails only where Postgres gives it up for another transaction.
const ATTEMPTS: usize = 8;

/// Writes batches.
pub(super) struct Writer {
    /// What the last commits left behind, and where the next ones are put.
    pub(super) players: Players,
    pub(super) store: Store,
    pub(super) catalogues: Arc<Catalogues>,
    pub(super) metrics: Metrics,
    /// Where it is noted who was there.
    pub(super) seen: Arc<Seen>,
}

/// How an attempt is made.
#[derive(Clone, Copy)]
enum Attempting {
    /// Guarded by the rows' revisions.
    Optimistically,
    /// With the rows locked.
    Locked,
}

/// What is left of a batch that was attempted.
#[derive(Default)]
pub(super) struct Left {
    /// To be attempted again, before any other command of their players.
    pub(super) again: Vec<Envelope>,
    /// Of players whose rows other transactions have locked.
    pub(super) held: Vec<Envelope>,
}

impl Writer {
    /// Performs and answers `envelopes`, and returns those that are not answered yet.
    pub(super) async fn perform(&self, envelopes: Vec<Envelope>) -> Left {
        let batch = Batch::new(envelopes);
        let span = batch.span();
        let work = async {
            let exhausted = Error::Unavailable("too many conflicts".into());
            let batch = batch.without_exhausted(ATTEMPTS, &exhausted);
            let (batch, contended) = batch.without_contended(OPTIMISTIC_ATTEMPTS);
            let mut left = Left::default();
            let parts = vec![(Attempting::Locked, contended), (Attempting::Optimistically, batch)];
            self.write(parts, &mut left).await;
            left
        };
        work.instrument(span).await
    }

    /// Attempts the parts of a batch, the last one first. A part that fails because of some of its players is attempted
    /// again without them: players whose rows are locked are set apart, and a row that Postgres refuses is found by halving
    /// the part, so that it fails alone. Where the database fails, the remaining parts are refused without an attempt, as
    /// each would wait until it times out, too.
    async fn write(&self, mut parts: Vec<(Attempting, Batch)>, left: &mut Left) {
        while let Some((how, part)) = parts.pop() {
            let attempted = match self.attempt(part, how).await {
                Ok(again) => {
                    left.again.extend(again.into_envelopes());
                    Ok(Vec::new())
                }
                Err((error @ store::Error::Locked(_), part)) => {
                    self.set_apart_held(&error, part, left).await.map(Vec::from_iter)
                }
                Err((error, part)) if is_of_one_row(&error) && part.players().nth(1).is_some() => {
                    tracing::debug!(%error, "a batch failed; its halves are attempted separately");
                    Ok(part.halves().into())
                }
                Err(failed) => Err(failed),
            };
            match attempted {
                Ok(rest) => parts.extend(rest.into_iter().map(|part| (how, part))),
                Err((error, part)) => {
                    // The rows in memory may be at fault. Where it is not known whether they were written, that is noted.
                    for player in part.players() {
                        self.players.invalidate(player).confirm();
                    }
                    give_up(&error, part);
                    if !is_of_one_row(&error) {
                        parts.drain(..).for_each(|(_, part)| give_up(&error, part));
                    }
                }
            }
        }
    }

    /// The part has waited for a lock in vain. Sets apart the players whose rows are locked, and returns the others. If
    /// there is none, the row is free by now or a table is locked: all are attempted again with the next batch, until
    /// they have waited for [`PATIENCE`].
    async fn set_apart_held(
        &self,
        error: &store::Error,
        mut part: Batch,
        left: &mut Left,
    ) -> Result<Option<Batch>, (store::Error, Batch)> {
        self.metrics.lock_waits.inc();
        let players: Vec<_> = part.players().collect();
        let held: HashSet<_> = match self.store.held_players(&players).await {
            Ok(held) => held.into_iter().collect(),
            Err(store::Error::Locked(_)) => HashSet::new(),
            Err(error) => return Err((error, part)),
        };
        if held.is_empty() {
            let now = Instant::now();
            part.wait_until(now + PATIENCE);
            let part = part.without_overdue(now, &Error::from_store(error));
            left.again.extend(part.into_envelopes());
            return Ok(None);
        }
        let (free, held) = part.without(&held);
        left.held.extend(held.into_envelopes());
        Ok(Some(free))
    }

    /// Attempts once, and returns those who are to be tried again; or where it failed all, and why.
    async fn attempt(
        &self,
        mut batch: Batch,
        how: Attempting,
    ) -> Result<Batch, (store::Error, Batch)> {
        if batch.is_empty() {
            return Ok(batch);
        }
        let moment = match self.catalogues.confirmed_timeline() {
            Ok((timeline, now)) => {
                let epoch = self.players.epoch();
                Moment { epoch, timeline, now, begun: Instant::now() }
            }
            Err(error) => {
                batch.refuse(&error.into());
                return Ok(Batch::new(Vec::new()));
            }
        };
        let attempted = match how {
            Attempting::Optimistically => self.attempt_optimistic(&batch, &moment).await,
            Attempting::Locked => self.attempt_locked(&batch, &moment).await,
        };
        match attempted {
            Ok(attempted) => {
                let settled = self.settle(attempted, &moment);
                batch.answer(settled);
                Ok(batch)
            }
            // Rolled back for another transaction: nothing is written, so all of it can be tried again.
            Err(store::Error::Contention(reason)) => {
                tracing::debug!(reason, "a batch was rolled back and is tried again");
                batch.tried_in_vain();
                Ok(batch)
            }
            Err(error) => Err((error, batch)),
        }
    }

    /// What is to be said to each player. Done are those who were written, and those with nothing to write whose row was
    /// just read. Their rows are kept; the others come again.
    fn settle(&self, attempt: Attempt, moment: &Moment) -> Vec<Settled> {
        let Attempt { folds, written } = attempt;
        let mut commands = 0;
        let mut committed = Vec::with_capacity(written.len());
        let mut settle = |fold| {
            let (handle, folded) = match fold {
                Fold::Missing => return Settled::Refused(Error::NoSuchPlayer),
                Fold::Panicked => return Settled::Refused(Error::Internal("a panic".into())),
                Fold::Outdated { revision } => return Settled::Again { outdated: revision },
                Fold::Found { handle, folded } => (handle, folded),
            };
            let player = folded.base.id;
            match folded.written {
                Some(record) if written.binary_search(&player).is_ok() => {
                    commands += folded.answers.iter().filter(|it| it.is_ok()).count() as u64;
                    count(&self.metrics, &folded.base, &record, &folded.ledger);
                    self.seen.note(&record, moment.now);
                    committed.push((record, handle));
                }
                Some(_) => {
                    self.metrics.revision_conflicts.inc();
                    return Settled::Again { outdated: folded.base.revision };
                }
                None if handle.is_some() => return Settled::Again { outdated: ALL_OUTDATED },
                None => {
                    self.seen.note(&folded.base, moment.now);
                    self.players.loaded(&folded.base, moment.begun);
                }
            }
            Settled::Done(folded.answers)
        };
        let settled = folds.into_iter().map(&mut settle).collect();
        if !committed.is_empty() {
            self.metrics.committed_batches.inc();
            self.metrics.batch_players.observe(committed.len() as f64);
            self.metrics.committed_commands.inc_by(commands);
        }
        self.players.committed(committed, moment.now, moment.begun);
        settled
    }
}

/// Counts what a player's written requests came to.
fn count(metrics: &Metrics, before: &PlayerRecord, after: &PlayerRecord, ledger: &[LedgerEntry]) {
    let earned = after.player.lifetime_energy - before.player.lifetime_energy;
    if earned.is_finite() && earned > 0.0 {
        metrics.energy_earned.inc_by(earned);
    }
    let bought = |entry: &&LedgerEntry| {
        matches!(entry.kind, LedgerKind::GeneratorPurchase | LedgerKind::UpgradePurchase)
    };
    let purchases = ledger.iter().filter(bought).count() as u64;
    if purchases > 0 {
        metrics.purchases.inc_by(purchases);
    }
}

/// Whether the error may be due to a single row, and not to the state of the database.
fn is_of_one_row(error: &store::Error) -> bool {
    !error.is_passing()
}

/// Answers with a failure of the store.
fn give_up(error: &store::Error, rest: Batch) {
    if !error.is_passing() {
        let players: Vec<_> = rest.players().collect();
        tracing::error!(%error, ?players, "a player could not be written");
    }
    rest.refuse(&Error::from_store(error));
}
