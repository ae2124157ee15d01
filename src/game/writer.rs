//! Players as the aggregate of a lane: reads rows, applies requests to them, and writes the result.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::attempt::{Attempt, Fold};
use super::fold_context::FoldContext;
use super::{Answer, Error, Request};
use crate::cache::Players;
use crate::catalogue::Catalogues;
use crate::domain::{LedgerEntry, LedgerKind};
use crate::lanes::{self, ALL_OUTDATED, Aggregate, Batch, Failed, GroupResult, Mode};
use crate::rankings::Seen;
use crate::store::players::PlayerRecord;
use crate::store::{self, Store};
use crate::telemetry::metrics::Metrics;

/// Writes players. Owned by the lane's thread.
pub(super) struct Writer {
    /// The cache from which rows are read and in which written rows are stored.
    pub(super) players: Players,
    pub(super) store: Store,
    pub(super) catalogues: Arc<Catalogues>,
    pub(super) metrics: Metrics,
    /// Players who were active recently, for the rankings.
    pub(super) seen: Arc<Seen>,
}

impl lanes::Request for Request {
    fn id(&self) -> Uuid {
        self.player
    }
}

impl Aggregate for Writer {
    type Request = Request;
    type Answer = Answer;
    type Error = Error;

    fn store(&self) -> &Store {
        &self.store
    }

    async fn attempt(
        &self,
        batch: &Batch<Self>,
        mode: Mode,
    ) -> Result<Vec<GroupResult<Self>>, Failed<Error>> {
        let confirmed = self.catalogues.confirmed_timeline();
        let (timeline, now) = confirmed.map_err(|error| Failed::Refused(error.into()))?;
        let epoch = self.players.epoch();
        let context = FoldContext { epoch, timeline, now, begun: Instant::now() };
        let attempt = match mode {
            Mode::Optimistic => self.attempt_optimistic(batch, &context).await?,
            Mode::Locked => self.attempt_locked(batch, &context).await?,
        };
        Ok(self.results(attempt, &context))
    }

    async fn locked(store: &Store, ids: &[Uuid]) -> Result<Vec<Uuid>, store::Error> {
        store.held_players(ids).await
    }

    fn invalidate(&self, id: Uuid) {
        self.players.invalidate(id).confirm();
    }
}

impl Writer {
    /// The result for each player. A player is done if its row was written, or if it needs no write and its row was
    /// just read. Such rows are stored in the cache. The requests of the other players are attempted again.
    fn results(&self, attempt: Attempt, context: &FoldContext) -> Vec<GroupResult<Self>> {
        let Attempt { folds, written } = attempt;
        let mut commands = 0;
        let mut committed = Vec::with_capacity(written.len());
        let mut result_of = |fold| {
            let (handle, folded) = match fold {
                Fold::Missing => return GroupResult::Refused(Error::NoSuchPlayer),
                Fold::Panicked => return GroupResult::Refused(Error::Internal("a panic".into())),
                Fold::Outdated { revision } => return GroupResult::Retry { outdated: revision },
                Fold::Found { handle, folded } => (handle, folded),
            };
            let player = folded.base.id;
            match folded.written {
                Some(record) if written.binary_search(&player).is_ok() => {
                    commands += folded.answers.iter().filter(|it| it.is_ok()).count() as u64;
                    count(&self.metrics, &folded.base, &record, &folded.ledger);
                    self.seen.note(&record, context.now);
                    committed.push((record, handle));
                }
                Some(_) => {
                    self.metrics.revision_conflicts.inc();
                    return GroupResult::Retry { outdated: folded.base.revision };
                }
                None if handle.is_some() => return GroupResult::Retry { outdated: ALL_OUTDATED },
                None => {
                    self.seen.note(&folded.base, context.now);
                    self.players.loaded(&folded.base, context.begun);
                }
            }
            GroupResult::Done(folded.answers)
        };
        let results = folds.into_iter().map(&mut result_of).collect();
        if !committed.is_empty() {
            self.metrics.committed_batches.inc();
            self.metrics.batch_players.observe(committed.len() as f64);
            self.metrics.committed_commands.inc_by(commands);
        }
        self.players.committed(committed, context.now, context.begun);
        results
    }
}

/// Adds the effects of a player's requests to the metrics.
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
