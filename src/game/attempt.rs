//! One attempt to write a batch: reads rows and stored outcomes, applies the commands, and runs the statement that
//! writes.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use super::fold::{Folded, StoredOutcomes, fold};
use super::fold_context::FoldContext;
use super::writer::Writer;
use crate::cache::CacheHandle;
use crate::lanes::{Batch, Group};
use crate::store::idempotency::{Keys, Record};
use crate::store::players::PlayerRecord;
use crate::store::{self, Commit, Transaction};

/// The result of an attempt.
pub(super) struct Attempt {
    /// One for each player of the batch, in the order of the batch.
    pub(super) folds: Vec<Fold>,
    /// The players whose row was written because its revision had not changed, sorted.
    pub(super) written: Vec<Uuid>,
}

/// The result of applying a player's requests.
pub(super) enum Fold {
    /// There is no such player.
    Missing,
    /// A stored outcome was found, but the row has another revision than it had when the outcome was found. So the row
    /// may not contain the effect of that request.
    Outdated { revision: i64 },
    /// Applying the requests panicked.
    Panicked,
    Found {
        /// The handle of the cache entry if the row came from the cache, so that it may be outdated; `None` if the row
        /// was just read from the database.
        handle: Option<CacheHandle>,
        folded: Folded,
    },
}

impl Writer {
    /// Applies the commands to rows of the cache, or reads rows that are not cached. Writes each row only if its
    /// revision is unchanged.
    pub(super) async fn attempt_optimistic(
        &self,
        batch: &Batch<Writer>,
        context: &FoldContext,
    ) -> Result<Attempt, store::Error> {
        let cached = |group: &Group<'_, Writer>| {
            let held = group.requests().find_map(|request| request.handle.as_ref());
            let (record, handle) = self.players.base(group.id, held)?;
            group.may_be_latest(record.revision).then_some(())?;
            Some(Row { record, handle: Some(handle) })
        };
        let mut rows: Vec<(Uuid, Option<Row>)> =
            batch.groups().map(|group| (group.id, cached(&group))).collect();
        let unknown: Vec<Uuid> =
            rows.iter().filter(|(_, row)| row.is_none()).map(|&(player, _)| player).collect();
        if !unknown.is_empty() {
            let mut read = read(self.store.load_players(&unknown).await?);
            for (player, row) in rows.iter_mut().filter(|(_, row)| row.is_none()) {
                *row = read.remove(player);
            }
        }
        // Most idempotency keys are new. If the row came from the cache, nothing is answered without a commit, so the
        // statement that writes can check the keys too, which saves a query. It skips a player whose key it finds. That
        // player is attempted again, and then its keys are queried first.
        let (mut keys_to_query, mut keys_of_commit) = (Keys::default(), Keys::default());
        for (group, (_, row)) in batch.groups().zip(&rows) {
            let cached = row.as_ref().is_some_and(|row| row.handle.is_some());
            let keys =
                if cached && !group.was_tried() { &mut keys_of_commit } else { &mut keys_to_query };
            key_hashes(&group).for_each(|hash| keys.push(group.id, hash));
        }
        let stored = self.store.find_records(&keys_to_query, context.now).await?;
        let rows = rows.into_iter().map(|(_, row)| row);
        let folds = fold_all(batch, rows, stored, context);
        let mut commit = build_commit(&folds, context);
        commit.unless_remembered(keys_of_commit, context.now);
        let written = if commit.is_empty() {
            Vec::new()
        } else {
            context.check_not_stale()?;
            let timer = self.metrics.commit_durations.start_timer();
            let writing = self.store.writing(context.begun).await?;
            let written = self.note_if_unknown(&folds, writing.commit(&commit).await)?;
            timer.observe_duration();
            written
        };
        Ok(Attempt::new(folds, written))
    }

    /// Applies the commands to rows that it reads and locks until the transaction ends.
    pub(super) async fn attempt_locked(
        &self,
        batch: &Batch<Writer>,
        context: &FoldContext,
    ) -> Result<Attempt, store::Error> {
        let mut transaction = self.store.begin().await?;
        // After an error the transaction is dropped, which rolls it back.
        let attempt = attempt_in(&mut transaction, batch, context).await?;
        self.note_if_unknown(&attempt.folds, transaction.commit().await)?;
        Ok(attempt)
    }

    /// If it is not known whether the commit succeeded, notes this for each player that it would have written.
    fn note_if_unknown<T>(
        &self,
        folds: &[Fold],
        result: Result<T, store::Error>,
    ) -> Result<T, store::Error> {
        if matches!(result, Err(store::Error::Unavailable(_))) {
            for fold in folds {
                if let Fold::Found { folded, .. } = fold
                    && folded.written.is_some()
                {
                    self.players.outcome_unknown(folded.base.id, folded.base.revision);
                }
            }
        }
        result
    }
}

impl Attempt {
    fn new(folds: Vec<Fold>, mut written: Vec<Uuid>) -> Self {
        // The rows usually arrive in this order, but only because of the query plan.
        written.sort_unstable();
        Self { folds, written }
    }
}

/// The hashes of the idempotency keys of a player's requests.
fn key_hashes<'a>(group: &Group<'a, Writer>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    group.requests().filter_map(|request| Some(request.key.as_ref()?.key_hash.as_slice()))
}

/// A row to which requests are applied.
struct Row {
    record: Arc<PlayerRecord>,
    /// As in [`Fold::Found`].
    handle: Option<CacheHandle>,
}

/// Rows that were just read.
fn read(records: Vec<PlayerRecord>) -> HashMap<Uuid, Row> {
    let row = |record: PlayerRecord| (record.id, Row { record: Arc::new(record), handle: None });
    records.into_iter().map(row).collect()
}

async fn attempt_in(
    transaction: &mut Transaction,
    batch: &Batch<Writer>,
    context: &FoldContext,
) -> Result<Attempt, store::Error> {
    let ids: Vec<Uuid> = batch.ids().collect();
    let mut read = read(transaction.lock_players(&ids).await?);
    let rows = ids.iter().map(|player| read.remove(player));
    let mut keys = Keys::default();
    for group in batch.groups() {
        key_hashes(&group).for_each(|hash| keys.push(group.id, hash));
    }
    let stored = transaction.find_records(&keys, context.now).await?;
    let folds = fold_all(batch, rows, stored, context);
    let commit = build_commit(&folds, context);
    context.check_not_stale()?;
    let written = if commit.is_empty() { Vec::new() } else { transaction.write(&commit).await? };
    Ok(Attempt::new(folds, written))
}

/// The stored outcomes of a player, and the revision of its row when they were read.
#[derive(Default)]
struct PlayerOutcomes {
    revision: Option<i64>,
    stored: StoredOutcomes,
}

/// Groups records by player.
fn by_player(records: Vec<Record>) -> HashMap<Uuid, PlayerOutcomes> {
    let mut by_player: HashMap<Uuid, PlayerOutcomes> = HashMap::new();
    for record in records {
        if let Ok(key_hash) = record.key_hash.try_into() {
            let of_player = by_player.entry(record.player_id).or_default();
            of_player.revision = record.revision;
            of_player.stored.insert(key_hash, (record.request, record.outcome));
        }
    }
    by_player
}

fn fold_all(
    batch: &Batch<Writer>,
    rows: impl Iterator<Item = Option<Row>>,
    stored: Vec<Record>,
    context: &FoldContext,
) -> Vec<Fold> {
    let mut by_player = by_player(stored);
    let fold = |(group, row): (Group<'_, Writer>, Option<Row>)| {
        let Some(Row { record, handle }) = row else { return Fold::Missing };
        let stored = match by_player.remove(&group.id) {
            Some(found) if found.revision != Some(record.revision) => {
                return Fold::Outdated { revision: record.revision };
            }
            found => found.unwrap_or_default().stored,
        };
        // A panic of the rules must not end the lane. Nothing has been sent to the database for this row yet.
        let folded =
            catch_unwind(AssertUnwindSafe(|| fold(record, group.requests(), stored, context)));
        folded.map_or(Fold::Panicked, |folded| Fold::Found { handle, folded })
    };
    batch.groups().zip(rows).map(fold).collect()
}

fn build_commit<'a>(folds: &'a [Fold], context: &FoldContext) -> Commit<'a> {
    let mut commit = Commit::default();
    for fold in folds {
        let Fold::Found { folded, .. } = fold else { continue };
        let Some(change) = folded.change(&context.timeline) else { continue };
        let player = change.base.id;
        commit.write(change);
        for (season, score) in folded.finished_seasons(&context.timeline) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Action, Command};
    use crate::game::{Asked, IdempotencyKey, Request};
    use crate::store::players::testing::guest;

    #[test]
    fn a_repeat_is_not_answered_from_a_row_older_than_the_first_request() {
        let id = Uuid::from_u128(7);
        let click = Command::Act(Action::Click { clicks: 5 });
        let asked = Asked { command: &click, expected_version: None, body: b"5" };
        let key = IdempotencyKey::new("k", "/clicks", asked);
        let request = Request { key: Some(key), ..Request::new(id, click) };
        let batch = Batch::of_requests([request]);
        let context = FoldContext::testing(1.0);
        let folded_from = |revision| {
            let record = Arc::new(PlayerRecord { id, revision, ..guest() });
            let found = Record {
                player_id: id,
                key_hash: key.key_hash.into(),
                request: key.request,
                outcome: r#"{"accepted":3}"#.to_owned(),
                revision: Some(8),
            };
            let rows = std::iter::once(Some(Row { record, handle: None }));
            fold_all(&batch, rows, vec![found], &context).pop()
        };
        // The row was read before the first request was committed, its record afterwards.
        assert!(matches!(folded_from(7), Some(Fold::Outdated { revision: 7 })));
        let Some(Fold::Found { folded, .. }) = folded_from(8) else { panic!("not folded") };
        assert!(folded.answers[0].as_ref().is_ok_and(|answer| answer.replayed));
    }

    #[test]
    fn a_row_whose_fold_panics_does_not_affect_other_rows() {
        let click =
            |id| Request::new(Uuid::from_u128(id), Command::Act(Action::Click { clicks: 5 }));
        let batch = Batch::of_requests([1, 2].map(click));
        let context = FoldContext::testing(1.0);
        // The highest revision has no successor, so the addition panics in a debug build.
        let row = |(id, revision)| {
            let record = PlayerRecord { id: Uuid::from_u128(id), revision, ..guest() };
            Some(Row { record: Arc::new(record), handle: None })
        };
        let rows = [(1, i64::MAX), (2, 7)].map(row);
        let folds = fold_all(&batch, rows.into_iter(), Vec::new(), &context);
        assert!(matches!(folds.as_slice(), [Fold::Panicked, Fold::Found { .. }]));
    }
}
