//! Writing a batch: load, fold, commit, and again for those whose row had moved on.
//!
//! A batch is optimistic first: it starts from rows that the lane kept, and every row is written only if its revision is
//! still the one that was folded. Players whose row another instance wrote meanwhile are loaded and folded afresh, the
//! others are answered. After two conflicts the rows are locked before they are folded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::Error;
use super::fold::{Folded, Remembered, fold};
use super::request::{Answer, Request};
use crate::cache::Players;
use crate::catalogue::Catalogues;
use crate::clock::Clock;
use crate::domain::{LedgerEntry, LedgerKind, Timeline, Timestamp};
use crate::rankings::Seen;
use crate::store::idempotency::Record;
use crate::store::players::PlayerRecord;
use crate::store::{self, Commit, Store, Transaction};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans;

/// A request, and whom to tell what came of it.
pub(super) struct Envelope {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<Answer, Error>>,
    /// The request's span.
    pub(super) span: Span,
}

impl Envelope {
    fn answer(self, answer: Result<Answer, Error>) {
        // Whoever asked may have hung up; what is written stays written.
        if self.reply.send(answer).is_err() {
            tracing::debug!("an answer came too late for its request");
        }
    }
}

/// Requests by player, each player's in the order in which they came. The map's order is that of locking.
type Batch = BTreeMap<Uuid, Vec<Envelope>>;

/// Attempts that trust the revision guard before the rows are locked.
const OPTIMISTIC_ATTEMPTS: usize = 2;
/// Attempts at all. A locked attempt fails only where Postgres gives it up for another transaction.
const ATTEMPTS: usize = 8;

/// Writes batches, one at a time.
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

impl Writer {
    /// Performs and answers all of `envelopes`.
    pub(super) async fn perform(&mut self, envelopes: Vec<Envelope>) {
        let span = span(&envelopes);
        self.perform_all(envelopes).instrument(span).await;
    }

    async fn perform_all(&mut self, envelopes: Vec<Envelope>) {
        let mut batch = Batch::new();
        for envelope in envelopes {
            batch.entry(envelope.request.player).or_default().push(envelope);
        }
        if let Err((error, rest)) = self.attempt_all(batch).await {
            self.isolate(error, rest).await;
        }
    }

    /// A statement failed. Where one row may be to blame, each player is tried alone, and fails alone.
    async fn isolate(&mut self, error: store::Error, rest: Batch) {
        let of_one_row =
            !matches!(error, store::Error::Unavailable(_) | store::Error::Contention(_));
        if !of_one_row || rest.len() == 1 {
            return give_up(&error, rest);
        }
        tracing::warn!(%error, players = rest.len(), "a batch failed; its players are written one by one");
        for (player, envelopes) in rest {
            if let Err((error, rest)) = self.attempt_all(Batch::from([(player, envelopes)])).await {
                give_up(&error, rest);
            }
        }
    }

    /// Attempts until everybody is answered, or returns those who are not and why.
    async fn attempt_all(&mut self, mut batch: Batch) -> Result<(), (store::Error, Batch)> {
        for attempt in 0..ATTEMPTS {
            if batch.is_empty() {
                return Ok(());
            }
            let moment = match self.catalogues.confirmed_timeline() {
                Ok(timeline) => Moment { timeline, now: self.clock.now(), begun: Instant::now() },
                Err(error) => {
                    refuse(batch, &error.into());
                    return Ok(());
                }
            };
            let locking = attempt >= OPTIMISTIC_ATTEMPTS;
            let result = if locking {
                self.attempt_locked(&batch, &moment).await
            } else {
                self.attempt_optimistic(&batch, &moment, attempt == 0).await
            };
            match result {
                Ok(settled) => batch = answer(batch, settled),
                // Rolled back for another transaction: nothing is written, so all of it can be tried again.
                Err(store::Error::Contention(reason)) => {
                    tracing::debug!(reason, attempt, "a batch was rolled back and is tried again");
                }
                Err(error) => {
                    // What has become of them is not known.
                    for &player in batch.keys() {
                        drop(self.players.touch(player));
                    }
                    return Err((error, batch));
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        Err((store::Error::Contention("too many conflicts".into()), batch))
    }

    /// From rows that are read now, or kept where `trusting`, guarded by their revisions.
    async fn attempt_optimistic(
        &mut self,
        batch: &Batch,
        moment: &Moment,
        trusting: bool,
    ) -> Result<Vec<Settled>, store::Error> {
        let (mut rows, mut unknown) = (Rows::new(), Vec::new());
        for &player in batch.keys() {
            match self.players.base(player).filter(|_| trusting) {
                Some(record) => drop(rows.insert(player, Row { record, kept: true })),
                None => unknown.push(player),
            }
        }
        if !unknown.is_empty() {
            rows.extend(read(self.store.load_players(&unknown).await?));
        }
        let keys = Keys::of(batch);
        let remembered = if keys.is_empty() {
            Vec::new()
        } else {
            self.store.find_records(&keys.players, &keys.hashes, moment.now).await?
        };
        let folds = fold_all(batch, rows, remembered, moment);
        let commit = commit_of(&folds, moment);
        let written = if commit.is_empty() {
            HashSet::new()
        } else {
            moment.still_holds()?;
            let timer = self.metrics.commit_durations.start_timer();
            let written = self.store.commit(&commit).await?;
            timer.observe_duration();
            written.into_iter().collect()
        };
        Ok(self.settle(folds, &written, moment))
    }

    /// From rows that nobody else can write until the transaction ends.
    async fn attempt_locked(
        &mut self,
        batch: &Batch,
        moment: &Moment,
    ) -> Result<Vec<Settled>, store::Error> {
        let mut transaction = self.store.begin().await?;
        // Dropped at an error, the transaction is rolled back.
        let (folds, written) = locked(&mut transaction, batch, moment).await?;
        transaction.commit().await?;
        Ok(self.settle(folds, &written, moment))
    }

    /// Those of `folds` that are done: written, or with nothing to write and from a row that was just read. Their rows
    /// are kept; those of the others are read anew.
    fn settle(
        &mut self,
        folds: Vec<Fold>,
        written: &HashSet<Uuid>,
        moment: &Moment,
    ) -> Vec<Settled> {
        let (mut settled, mut commands) = (Vec::with_capacity(folds.len()), 0);
        let mut committed = Vec::with_capacity(written.len());
        for fold in folds {
            let (kept, folded) = match fold {
                Fold::Missing(player) => {
                    settled.push(Settled { player, answers: None });
                    continue;
                }
                Fold::Found { kept, folded } => (kept, folded),
            };
            let player = folded.base.id;
            match folded.written {
                Some(record) if written.contains(&player) => {
                    commands +=
                        folded.answers.iter().filter(|answer| answer.is_ok()).count() as u64;
                    count(&self.metrics, &folded.base, &record, &folded.ledger);
                    self.seen.note(&record, moment.now);
                    committed.push(record);
                }
                Some(_) => {
                    self.metrics.revision_conflicts.inc();
                    continue;
                }
                None if kept => continue,
                None => {
                    self.seen.note(&folded.base, moment.now);
                    self.players.loaded(folded.base, moment.begun);
                }
            }
            settled.push(Settled { player, answers: Some(folded.answers) });
        }
        self.players.committed(committed, moment.now, moment.begun);
        if !written.is_empty() {
            self.metrics.committed_batches.inc();
            self.metrics.batch_players.observe(written.len() as f64);
            self.metrics.committed_commands.inc_by(commands);
        }
        settled
    }
}

/// A batch as a collector is told of it: as part of the first request that is sampled, linked to the others.
fn span(envelopes: &[Envelope]) -> Span {
    let mut sampled = envelopes.iter().map(|it| &it.span).filter(|it| spans::is_sampled(it));
    let Some(first) = sampled.next() else { return Span::none() };
    let span = tracing::trace_span!(
        target: "idlewatt::spans",
        parent: first,
        "lane",
        requests = envelopes.len(),
    );
    for other in sampled {
        span.follows_from(other);
    }
    span
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
    metrics.purchases.inc_by(ledger.iter().filter(bought).count() as u64);
}

/// Rows by player.
type Rows = HashMap<Uuid, Row>;

/// A row to fold onto.
struct Row {
    record: Arc<PlayerRecord>,
    /// Whether it was kept from an earlier batch, and so may be out of date.
    kept: bool,
}

/// Rows that were just read.
fn read(records: Vec<PlayerRecord>) -> impl Iterator<Item = (Uuid, Row)> {
    let row = |record: PlayerRecord| (record.id, Row { record: Arc::new(record), kept: false });
    records.into_iter().map(row)
}

async fn locked(
    transaction: &mut Transaction,
    batch: &Batch,
    moment: &Moment,
) -> Result<(Vec<Fold>, HashSet<Uuid>), store::Error> {
    let ids: Vec<Uuid> = batch.keys().copied().collect();
    let records = transaction.lock_players(&ids).await?;
    let keys = Keys::of(batch);
    let remembered = if keys.is_empty() {
        Vec::new()
    } else {
        transaction.find_records(&keys.players, &keys.hashes, moment.now).await?
    };
    let folds = fold_all(batch, read(records).collect(), remembered, moment);
    let commit = commit_of(&folds, moment);
    moment.still_holds()?;
    let written = if commit.is_empty() { Vec::new() } else { transaction.write(&commit).await? };
    Ok((folds, written.into_iter().collect()))
}

/// What an attempt made of a player's requests.
enum Fold {
    /// There is no such player.
    Missing(Uuid),
    Found {
        /// Whether the row was kept from an earlier batch.
        kept: bool,
        folded: Folded,
    },
}

/// The answers for a player whose requests are done; none where there is no such player.
struct Settled {
    player: Uuid,
    answers: Option<Vec<Result<Answer, Error>>>,
}

/// The idempotency keys of a batch, in the form of the lookup's parameters.
struct Keys<'a> {
    players: Vec<Uuid>,
    hashes: Vec<&'a [u8]>,
}

impl<'a> Keys<'a> {
    fn of(batch: &'a Batch) -> Self {
        let (players, hashes) = batch
            .values()
            .flatten()
            .filter_map(|envelope| {
                let key = envelope.request.key.as_ref()?;
                Some((envelope.request.player, key.key_hash.as_slice()))
            })
            .unzip();
        Self { players, hashes }
    }

    fn is_empty(&self) -> bool {
        self.players.is_empty()
    }
}

fn fold_all(batch: &Batch, mut rows: Rows, remembered: Vec<Record>, moment: &Moment) -> Vec<Fold> {
    let mut outcomes: HashMap<Uuid, Remembered> = HashMap::new();
    for record in remembered {
        let hashes = (record.key_hash.try_into(), record.request_hash.try_into());
        if let (Ok(key_hash), Ok(request_hash)) = hashes {
            let of_player = outcomes.entry(record.player_id).or_default();
            of_player.insert(key_hash, (request_hash, record.outcome));
        }
    }
    batch
        .iter()
        .map(|(player, envelopes)| match rows.remove(player) {
            None => Fold::Missing(*player),
            Some(Row { record, kept }) => {
                let requests: Vec<&Request> = envelopes.iter().map(|it| &it.request).collect();
                let remembered = outcomes.remove(player).unwrap_or_default();
                let (timeline, now) = (&moment.timeline, moment.now);
                Fold::Found { kept, folded: fold(record, &requests, remembered, timeline, now) }
            }
        })
        .collect()
}

fn commit_of<'a>(folds: &'a [Fold], moment: &Moment) -> Commit<'a> {
    let mut commit = Commit::default();
    for fold in folds {
        let Fold::Found { folded, .. } = fold else { continue };
        let Some(change) = folded.change(&moment.timeline) else { continue };
        commit.write(change);
        for (season, score) in folded.finished_seasons(&moment.timeline) {
            commit.finish(folded.base.id, season, score);
        }
        for entry in &folded.ledger {
            commit.book(folded.base.id, entry);
        }
        for record in &folded.records {
            commit.remember(record);
        }
    }
    commit
}

/// Answers the requests of settled players and returns the rest of the batch.
fn answer(mut batch: Batch, settled: Vec<Settled>) -> Batch {
    for Settled { player, answers } in settled {
        let envelopes = batch.remove(&player).unwrap_or_default();
        match answers {
            Some(answers) => {
                for (envelope, answer) in envelopes.into_iter().zip(answers) {
                    envelope.answer(answer);
                }
            }
            None => refuse(Batch::from([(player, envelopes)]), &Error::NoSuchPlayer),
        }
    }
    batch
}

/// Answers with a failure of the store.
fn give_up(error: &store::Error, rest: Batch) {
    if !error.is_passing() {
        let players: Vec<_> = rest.keys().collect();
        tracing::error!(%error, ?players, "a player could not be written");
    }
    refuse(rest, &Error::from_store(error));
}

fn refuse(batch: Batch, error: &Error) {
    for envelope in batch.into_values().flatten() {
        envelope.answer(Err(error.clone()));
    }
}
