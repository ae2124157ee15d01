//! The fold: applies the queued requests of one player to its row, in order. It has no side effects. Its result is
//! everything that a batch writes and answers for the player.

use std::collections::HashMap;
use std::sync::Arc;

use super::fold_context::FoldContext;
use super::request::{Answer, Request};
use super::{Error, IdempotencyKey};
use crate::domain::{Command, LedgerEntry, Outcome, Refusal, Season, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::idempotency::{Hash, NewRecord, RequestHash};
use crate::store::players::PlayerRecord;
use crate::store::{Change, Written};

/// Stored outcomes of a player, by the hash of the idempotency key: the hash of the request, and the outcome.
pub(super) type StoredOutcomes = HashMap<Hash, (RequestHash, String)>;

/// The result of a player's requests. It may be answered only after it is written.
#[derive(Debug)]
pub(super) struct Folded {
    /// The row before the requests.
    pub(super) base: Arc<PlayerRecord>,
    /// The row to write; `None` if nothing has changed.
    pub(super) written: Option<Arc<PlayerRecord>>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) records: Vec<NewRecord>,
    /// One for each request, in order.
    pub(super) answers: Vec<Result<Answer, Error>>,
}

/// Applies `requests` to `base`.
pub(super) fn fold<'a>(
    base: Arc<PlayerRecord>,
    requests: impl Iterator<Item = &'a Request>,
    mut stored: StoredOutcomes,
    context: &FoldContext,
) -> Folded {
    let FoldContext { epoch, timeline, .. } = context;
    let now = base.player.not_before_settled(context.now);
    let mut state = FoldState {
        current: Arc::clone(&base),
        written: false,
        ledger: Vec::new(),
        records: Vec::new(),
        epoch: *epoch,
        timeline,
        now,
        clock_now: context.now,
    };
    let answers = requests.map(|request| state.step(request, &mut stored)).collect();
    let FoldState { current, written, ledger, records, .. } = state;
    let written = written.then_some(current);
    Folded { base, written, ledger, records, answers }
}

struct FoldState<'a> {
    /// The player after the requests that have been applied so far.
    current: Arc<PlayerRecord>,
    /// Whether `current` differs from `base`.
    written: bool,
    ledger: Vec<LedgerEntry>,
    records: Vec<NewRecord>,
    epoch: Epoch,
    timeline: &'a Arc<Timeline>,
    /// The clock's time, or `settled_at` of the row if that is later: a player's time never goes back.
    now: Timestamp,
    /// The clock's time, which `Player::apply` needs for the token bucket of clicks.
    clock_now: Timestamp,
}

impl FoldState<'_> {
    /// Applies one request. The order of checks is: ban, idempotency key, expected version, rules.
    fn step(&mut self, request: &Request, stored: &mut StoredOutcomes) -> Result<Answer, Error> {
        let by_operator = matches!(request.command, Command::Grant { .. });
        if self.current.banned && !by_operator {
            return Err(Error::Banned);
        }
        if let Some(key) = request.key
            && let Some((first, outcome)) = stored.get(&key.key_hash)
        {
            if !key.request.is_of_same_request(first) {
                self.note_presence(by_operator);
                return Err(Error::KeyReused);
            }
            let outcome = serde_json::from_str(outcome)
                .map_err(|error| Error::Internal(format!("a stored outcome: {error}")))?;
            self.note_presence(by_operator);
            return Ok(self.answer(outcome, true));
        }
        let version = self.current.player.version;
        if request.expected_version.is_some_and(|expected| expected != version) {
            self.note_presence(by_operator);
            return Err(Error::Refused(Refusal::VersionMismatch { current: version }));
        }
        let mut record = PlayerRecord::clone(&self.current);
        let outcome =
            record.player.apply(&request.command, self.timeline, self.clock_now, &mut self.ledger);
        let applied = record.player.version > version;
        if outcome.is_err() || !applied {
            self.note_presence(by_operator);
        }
        let outcome = outcome.map_err(Error::Refused)?;
        if applied {
            self.write(record);
        }
        if let (true, Some(key)) = (applied, request.key) {
            self.remember(key, request, &outcome, stored)?;
        }
        Ok(self.answer(outcome, false))
    }

    /// Stores the time at which the player was last seen, if that is due. A refused request counts as presence too.
    fn note_presence(&mut self, by_operator: bool) {
        if by_operator || !self.current.player.presence_is_due(self.now) {
            return;
        }
        let mut record = PlayerRecord::clone(&self.current);
        record.player.arrive(self.timeline, self.now);
        self.write(record);
    }

    /// Replaces the current row by `record`, which is to be written.
    fn write(&mut self, mut record: PlayerRecord) {
        // The row is written once per batch, so its revision rises once.
        record.revision += i64::from(!self.written);
        record.catalogue_version = self.timeline.at(record.player.settled_at).version;
        self.current = Arc::new(record);
        self.written = true;
    }

    fn remember(
        &mut self,
        key: IdempotencyKey,
        request: &Request,
        outcome: &Outcome,
        stored: &mut StoredOutcomes,
    ) -> Result<(), Error> {
        let outcome = serde_json::to_string(outcome)
            .map_err(|error| Error::Internal(format!("an outcome: {error}")))?;
        stored.insert(key.key_hash, (key.request, outcome.clone()));
        self.records.push(NewRecord {
            player_id: request.player,
            key_hash: key.key_hash,
            request: key.request,
            created_at: self.now,
            retention: request.retention(),
            outcome,
        });
        Ok(())
    }

    fn answer(&self, outcome: Outcome, replayed: bool) -> Answer {
        Answer {
            outcome,
            replayed,
            record: Arc::clone(&self.current),
            epoch: self.epoch,
            timeline: Arc::clone(self.timeline),
            now: self.now,
        }
    }
}

impl Folded {
    /// What to write; `None` if nothing has changed.
    pub(super) fn change(&self, timeline: &Timeline) -> Option<Change<'_>> {
        let record = self.written.as_deref()?;
        let player = &record.player;
        let production = player.production(timeline, player.settled_at);
        Some(Change {
            base: &self.base,
            written: Written {
                record,
                energy_per_second: production.energy_per_second,
                accrues_until: player.accrues_until(&production),
            },
        })
    }

    /// The final scores of the seasons that end for this player with this write.
    pub(super) fn finished_seasons<'a>(
        &'a self,
        timeline: &'a Timeline,
    ) -> impl Iterator<Item = (Season, f64)> + 'a {
        let left = self.written.as_deref().map(|record| record.player.season);
        left.into_iter().flat_map(|entered| self.base.player.finished_seasons(timeline, entered))
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
