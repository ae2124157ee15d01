//! Writing a batch: load, fold, commit, and again for those whose row had moved on.
//!
//! A batch is optimistic first: it starts from rows that the lane kept, and every row is written only if its revision is
//! still the one that was folded. Players whose row another instance wrote meanwhile come along with the next batch, from a
//! row that was announced by then or is read; the others are answered. After two conflicts the rows are locked before they
//! are folded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;
use uuid::Uuid;

use super::Error;
use super::batch::{ALL_OUTDATED, Batch, Envelope, Settled, Turn, outcomes};
use super::fold::{Folded, fold};
use crate::cache::{Players, Seat};
use crate::catalogue::Catalogues;
use crate::clock::Clock;
use crate::domain::{LedgerEntry, LedgerKind, Timeline, Timestamp};
use crate::rankings::Seen;
use crate::store::idempotency::{Keys, Record};
use crate::store::players::PlayerRecord;
use crate::store::{self, Commit, Store, Transaction};
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
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalogues: Arc<Catalogues>,
    pub(super) metrics: Metrics,
    /// Where it is noted who was there.
    pub(super) seen: Arc<Seen>,
}

/// What the folds of one attempt share.
struct Moment {
    timeline: Arc<Timeline>,
    now: Timestamp,
    /// When that was, for rows that are read or written from then on.
    begun: Instant,
}

/// How old `now` may be when a batch is sent to be written. A process that was stopped in between folds anew, so that
/// nothing that was played in a season arrives after its final standings were made.
const STALE_AFTER: Duration = Duration::from_secs(10);

impl Moment {
    fn still_holds(&self) -> Result<(), store::Error> {
        if self.begun.elapsed() < STALE_AFTER {
            return Ok(());
        }
        Err(store::Error::Contention("the batch took too long to fold".into()))
    }
}

/// How an attempt is made.
#[derive(Clone, Copy)]
enum Attempting {
    /// Guarded by the rows' revisions.
    Optimistically,
    /// With the rows locked.
    Locked,
}

/// What came of an attempt.
struct Attempt {
    /// One for each player of the batch, in its order.
    folds: Vec<Fold>,
    /// The players whose guard held, in their order.
    written: Vec<Uuid>,
}

/// What an attempt made of a player's requests.
enum Fold {
    /// There is no such player.
    Missing,
    /// A request was answered before, and the row is not the one that was there when that was found out: it may lack what
    /// the request did.
    Outdated { revision: i64 },
    Found {
        /// Where the row was kept, and so may be out of date; none where it was just read.
        seat: Option<Seat>,
        folded: Folded,
    },
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

    /// A statement failed. Where one row may be to blame, each player is tried alone, and fails alone.
    async fn isolate(&self, error: store::Error, rest: Batch) {
        let of_one_row =
            !matches!(error, store::Error::Unavailable(_) | store::Error::Contention(_));
        let players = rest.players().count();
        if !of_one_row || players == 1 {
            return give_up(&error, rest);
        }
        tracing::warn!(%error, players, "a batch failed; its players are written one by one");
        for batch in rest.apart() {
            if let Err((error, rest)) = self.insist(batch, 0).await {
                give_up(&error, rest);
            }
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
            Ok(timeline) => Moment { timeline, now: self.clock.now(), begun: Instant::now() },
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

    /// From rows that are kept, or else read now, guarded by their revisions.
    async fn attempt_optimistic(
        &self,
        batch: &Batch,
        moment: &Moment,
    ) -> Result<Attempt, store::Error> {
        let kept = |turn: &Turn<'_>| {
            let held = turn.requests().find_map(|request| request.seat.as_ref());
            let held = held.and_then(|seat| Some((seat.base()?, seat.clone())));
            let (record, seat) = held.or_else(|| self.players.base(turn.player))?;
            turn.trusts(record.revision).then_some(())?;
            Some(Row { record, seat: Some(seat) })
        };
        let mut rows: Vec<(Uuid, Option<Row>)> =
            batch.turns().map(|turn| (turn.player, kept(&turn))).collect();
        let unknown: Vec<Uuid> =
            rows.iter().filter(|(_, row)| row.is_none()).map(|&(player, _)| player).collect();
        if !unknown.is_empty() {
            let mut read = read(self.store.load_players(&unknown).await?);
            for (player, row) in rows.iter_mut().filter(|(_, row)| row.is_none()) {
                *row = read.remove(player);
            }
        }
        // Most keys are new: that they are is left for the commit to find out, where a row was kept and so nothing is
        // answered without one. Who is not written then comes again, and is asked for first.
        let (mut asked, mut unasked) = (Keys::default(), Keys::default());
        for (turn, (_, row)) in batch.turns().zip(&rows) {
            let kept = row.as_ref().is_some_and(|row| row.seat.is_some());
            let keys = if kept && !turn.was_tried() { &mut unasked } else { &mut asked };
            turn.keys().for_each(|hash| keys.push(turn.player, hash));
        }
        let remembered = if asked.is_empty() {
            Vec::new()
        } else {
            self.store.find_records(&asked, moment.now).await?
        };
        let rows = rows.into_iter().map(|(_, row)| row);
        let folds = fold_all(batch, rows, remembered, moment);
        let mut commit = commit_of(&folds, moment);
        commit.unless_remembered(unasked, moment.now);
        let written = if commit.is_empty() {
            Vec::new()
        } else {
            moment.still_holds()?;
            let timer = self.metrics.commit_durations.start_timer();
            let written = self.store.commit(&commit).await?;
            timer.observe_duration();
            written
        };
        Ok(Attempt::new(folds, written))
    }

    /// From rows that nobody else can write until the transaction ends.
    async fn attempt_locked(
        &self,
        batch: &Batch,
        moment: &Moment,
    ) -> Result<Attempt, store::Error> {
        let mut transaction = self.store.begin().await?;
        // Dropped at an error, the transaction is rolled back.
        let attempt = locked(&mut transaction, batch, moment).await?;
        transaction.commit().await?;
        Ok(attempt)
    }

    /// What is to be said to each player. Done are those who were written, and those with nothing to write whose row was
    /// just read. Their rows are kept; those of the others are read anew.
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

impl Attempt {
    fn new(folds: Vec<Fold>, mut written: Vec<Uuid>) -> Self {
        // They come in this order already, but that is the plan's doing.
        written.sort_unstable();
        Self { folds, written }
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

/// A row to fold onto.
struct Row {
    record: Arc<PlayerRecord>,
    /// As [`Fold::Found`]'s.
    seat: Option<Seat>,
}

/// Rows that were just read.
fn read(records: Vec<PlayerRecord>) -> HashMap<Uuid, Row> {
    let row = |record: PlayerRecord| (record.id, Row { record: Arc::new(record), seat: None });
    records.into_iter().map(row).collect()
}

async fn locked(
    transaction: &mut Transaction,
    batch: &Batch,
    moment: &Moment,
) -> Result<Attempt, store::Error> {
    let ids: Vec<Uuid> = batch.players().collect();
    let mut read = read(transaction.lock_players(&ids).await?);
    let rows = ids.iter().map(|player| read.remove(player));
    let mut keys = Keys::default();
    for turn in batch.turns() {
        turn.keys().for_each(|hash| keys.push(turn.player, hash));
    }
    let remembered = if keys.is_empty() {
        Vec::new()
    } else {
        transaction.find_records(&keys, moment.now).await?
    };
    let folds = fold_all(batch, rows, remembered, moment);
    let commit = commit_of(&folds, moment);
    moment.still_holds()?;
    let written = if commit.is_empty() { Vec::new() } else { transaction.write(&commit).await? };
    Ok(Attempt::new(folds, written))
}

fn fold_all(
    batch: &Batch,
    rows: impl Iterator<Item = Option<Row>>,
    remembered: Vec<Record>,
    moment: &Moment,
) -> Vec<Fold> {
    let mut outcomes = outcomes(remembered);
    let fold = |(turn, row): (Turn<'_>, Option<Row>)| {
        let Some(Row { record, seat }) = row else { return Fold::Missing };
        let remembered = match outcomes.remove(&turn.player) {
            Some(known) if known.revision != Some(record.revision) => {
                return Fold::Outdated { revision: record.revision };
            }
            known => known.unwrap_or_default().remembered,
        };
        let folded = fold(record, turn.requests(), remembered, &moment.timeline, moment.now);
        Fold::Found { seat, folded }
    };
    batch.turns().zip(rows).map(fold).collect()
}

fn commit_of<'a>(folds: &'a [Fold], moment: &Moment) -> Commit<'a> {
    let mut commit = Commit::default();
    for fold in folds {
        let Fold::Found { folded, .. } = fold else { continue };
        let Some(change) = folded.change(&moment.timeline) else { continue };
        let player = change.base.id;
        commit.write(change);
        for (season, score) in folded.finished_seasons(&moment.timeline) {
            commit.finish(player, season, score);
        }
        for entry in &folded.ledger {
            commit.book(player, entry);
        }
        for record in &folded.records {
            commit.remember(record);
        }
    }
    commit
}

/// Answers with a failure of the store.
fn give_up(error: &store::Error, rest: Batch) {
    if !error.is_passing() {
        let players: Vec<_> = rest.players().collect();
        tracing::error!(%error, ?players, "a player could not be written");
    }
    rest.refuse(&Error::from_store(error));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{at, timeline};
    use crate::domain::{Action, Command, Player, Rules};
    use crate::game::{IdempotencyKey, Request};

    #[test]
    fn a_repeat_is_answered_only_from_a_row_that_holds_what_the_first_request_did() {
        let id = Uuid::from_u128(7);
        let key = IdempotencyKey::new("k", "/clicks", b"5");
        let click = Command::Act(Action::Click { clicks: 5 });
        let request = Request { key: Some(key), ..Request::new(id, click) };
        let batch = Batch::new(vec![Envelope::new(request).0]);
        let moment = Moment { timeline: Arc::new(timeline()), now: at(1.0), begun: Instant::now() };
        let folded_from = |revision| {
            let record = Arc::new(PlayerRecord {
                id,
                revision,
                username: None,
                created_at: at(0.0),
                banned: false,
                catalogue_version: 1,
                player: Player::new("Ada".into(), &Rules::default(), at(0.0)),
            });
            let found = Record {
                player_id: id,
                key_hash: key.key_hash.into(),
                request_hash: key.request_hash.into(),
                outcome: r#"{"accepted":3}"#.to_owned(),
                revision: Some(8),
            };
            let rows = std::iter::once(Some(Row { record, seat: None }));
            fold_all(&batch, rows, vec![found], &moment).pop()
        };
        // Read before the first request was committed, and the record after it.
        assert!(matches!(folded_from(7), Some(Fold::Outdated { revision: 7 })));
        let Some(Fold::Found { folded, .. }) = folded_from(8) else { panic!("not folded") };
        assert!(folded.answers[0].as_ref().is_ok_and(|answer| answer.replayed));
    }
}
