//! Writing a batch: attempting it, answering, and again for those whose row had moved on.
//!
//! A batch is optimistic first: it starts from rows that the lane kept, and every row is written only if its revision is
//! still the one that was folded. Players whose row another instance wrote meanwhile come along with the next batch, from a
//! row that was announced by then or is read; the others are answered. After two conflicts the rows are locked before they
//! are folded.

use std::sync::Arc;
use std::time::Instant;

use tracing::Instrument;

use super::Error;
use super::attempt::{Attempt, Fold, Moment};
use super::batch::{ALL_OUTDATED, Batch, Envelope, Settled};
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

impl Writer {
    /// Performs and answers `envelopes`. Returns those that have to be tried again, before anything else of their players.
    pub(super) async fn perform(&self, envelopes: Vec<Envelope>) -> Vec<Envelope> {
        let batch = Batch::new(envelopes);
        let span = batch.span();
        let work = async {
            let (batch, contended) = batch.without_contended(OPTIMISTIC_ATTEMPTS);
            let rest = match self.attempt(batch, Attempting::Optimistically).await {
                Ok(rest) => rest.into_envelopes(),
                Err((error, rest)) => {
                    self.isolate(error, rest).await;
                    Vec::new()
                }
            };
            if let Err((error, rest)) = self.insist(contended, OPTIMISTIC_ATTEMPTS).await {
                self.isolate(error, rest).await;
            }
            rest
        };
        work.instrument(span).await
    }

    /// A statement failed. Where one row may be to blame, each player is tried alone, and fails alone, unless Postgres can
    /// tell which it is.
    async fn isolate(&self, error: store::Error, rest: Batch) {
        let of_one_row =
            !matches!(error, store::Error::Unavailable(_) | store::Error::Contention(_));
        let players = rest.players().count();
        if !of_one_row || players == 1 {
            return give_up(&error, rest);
        }
        if matches!(error, store::Error::Locked(_)) {
            return self.leave_out_held(&error, rest).await;
        }
        tracing::warn!(%error, players, "a batch failed; its players are written one by one");
        for batch in rest.apart() {
            if let Err((error, rest)) = self.insist(batch, 0).await {
                give_up(&error, rest);
            }
        }
    }

    /// The batch has waited in vain for a row that somebody holds. To have each player wait again would stop the lane for
    /// long where many are held: Postgres is asked which are, and the others are written together.
    async fn leave_out_held(&self, error: &store::Error, rest: Batch) {
        let players: Vec<_> = rest.players().collect();
        let held = match self.store.held_players(&players).await {
            Ok(held) => held.into_iter().collect(),
            // The table itself is held, or the database is away.
            Err(error) => return give_up(&error, rest),
        };
        let (rest, held) = rest.without(&held);
        give_up(error, held);
        if let Err((error, rest)) = self.insist(rest, 0).await {
            give_up(&error, rest);
        }
    }

    /// Attempts until everybody is answered, after so many attempts, or returns those who are not and why.
    async fn insist(&self, mut batch: Batch, before: usize) -> Result<(), (store::Error, Batch)> {
        for attempt in before..ATTEMPTS {
            let how = if attempt < OPTIMISTIC_ATTEMPTS {
                Attempting::Optimistically
            } else {
                Attempting::Locked
            };
            batch = self.attempt(batch, how).await?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        Err((store::Error::Contention("too many conflicts".into()), batch))
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
            Ok((timeline, now)) => Moment { timeline, now, begun: Instant::now() },
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
            Err(error) => {
                // What has become of them is not known.
                for player in batch.players() {
                    drop(self.players.touch(player));
                }
                Err((error, batch))
            }
        }
    }

    /// What is to be said to each player. Done are those who were written, and those with nothing to write whose row was
    /// just read. Their rows are kept; the others come again.
    fn settle(&self, attempt: Attempt, moment: &Moment) -> Vec<Settled> {
        let Attempt { folds, written } = attempt;
        let mut commands = 0;
        let mut committed = Vec::with_capacity(written.len());
        let mut settle = |fold| {
            let (seat, folded) = match fold {
                Fold::Missing => return Settled::Missing,
                Fold::Outdated { revision } => return Settled::Again { outdated: revision },
                Fold::Found { seat, folded } => (seat, folded),
            };
            let player = folded.base.id;
            match folded.written {
                Some(record) if written.binary_search(&player).is_ok() => {
                    commands += folded.answers.iter().filter(|it| it.is_ok()).count() as u64;
                    count(&self.metrics, &folded.base, &record, &folded.ledger);
                    self.seen.note(&record, moment.now);
                    committed.push((record, seat));
                }
                Some(_) => {
                    self.metrics.revision_conflicts.inc();
                    return Settled::Again { outdated: folded.base.revision };
                }
                None if seat.is_some() => return Settled::Again { outdated: ALL_OUTDATED },
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

/// Answers with a failure of the store.
fn give_up(error: &store::Error, rest: Batch) {
    if !error.is_passing() {
        let players: Vec<_> = rest.players().collect();
        tracing::error!(%error, ?players, "a player could not be written");
    }
    rest.refuse(&Error::from_store(error));
}
