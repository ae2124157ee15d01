//! Writes the players of a batch in one statement.

use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::Error;
use super::idempotency::{Hash, Keys, NewRecord, horizons};
use super::player_columns::{self, COLUMNS, Parameter};
use super::players::PlayerRecord;
use super::pool::{Transaction, Writing};
use crate::domain::{LedgerEntry, Player, Season, Timestamp};

/// The statement that can write any batch.
static COMMIT: LazyLock<String> =
    LazyLock::new(|| player_columns::expand(include_str!("../../sql/queries/players/commit.sql")));

/// A player's row and the columns that are calculated from it.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    pub record: &'a PlayerRecord,
    /// The player's production per second at its `settled_at`.
    pub energy_per_second: f64,
    pub accrues_until: Timestamp,
}

impl<'a> Written<'a> {
    /// A row for comparisons, in which the calculated columns have no meaning.
    pub(super) fn of(record: &'a PlayerRecord) -> Self {
        Self { record, energy_per_second: 0.0, accrues_until: record.player.last_seen_at }
    }
}

/// A player's change.
pub struct Change<'a> {
    /// The row that the commands were applied to.
    pub base: &'a PlayerRecord,
    /// The row afterwards.
    pub written: Written<'a>,
}

impl Change<'_> {
    /// Whether the change consists of clicks and presence only.
    fn is_clicks_only(&self) -> bool {
        let after = &self.written.record.player;
        after.unseen_energy == 0.0
            && after.last_seen_at == after.settled_at
            && player_columns::only_clicks_changed(self.base, self.written.record)
    }
}

/// A batch: players, each with its ledger entries, idempotency records and finished seasons. Rows are locked in the
/// order of the players.
#[derive(Default)]
pub struct Commit<'a> {
    changes: Vec<Change<'a>>,
    ledger: LedgerColumns<'a>,
    records: RecordColumns<'a>,
    seasons: SeasonColumns,
    unchecked_keys: KeyColumns<'a>,
}

/// Idempotency keys whose records were not looked up before the commit, so that the commit looks them up.
#[derive(Default)]
struct KeyColumns<'a> {
    ids: Vec<Uuid>,
    hashes: Vec<&'a [u8]>,
    /// The time at which a record must be valid to count. `None` if there are no keys.
    now: Option<Timestamp>,
}

#[derive(Default)]
struct LedgerColumns<'a> {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    at: Vec<Timestamp>,
    kinds: Vec<&'static str>,
    references: Vec<&'a str>,
    earned: Vec<f64>,
    deltas: Vec<f64>,
    balances: Vec<f64>,
}

#[derive(Default)]
struct RecordColumns<'a> {
    slots: Vec<i16>,
    ids: Vec<Uuid>,
    key_hashes: Vec<&'a [u8]>,
    request_hashes: Vec<&'a [u8]>,
    command_hashes: Vec<Hash>,
    created_at: Vec<Timestamp>,
    outcomes: Vec<&'a str>,
}

#[derive(Default)]
struct SeasonColumns {
    ids: Vec<Uuid>,
    seasons: Vec<i64>,
    scores: Vec<f64>,
}

impl<'a> Commit<'a> {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds a player.
    pub fn write(&mut self, change: Change<'a>) {
        self.changes.push(change);
    }

    /// Adds an entry to a player's ledger. It is written only if the player's row is written.
    pub fn book(&mut self, id: Uuid, entry: &'a LedgerEntry) {
        self.ledger.ids.push(id);
        self.ledger.versions.push(signed(entry.version));
        self.ledger.at.push(entry.at);
        self.ledger.kinds.push(entry.kind.as_str());
        self.ledger.references.push(&entry.reference);
        self.ledger.earned.push(entry.earned);
        self.ledger.deltas.push(entry.delta);
        self.ledger.balances.push(entry.balance_after);
    }

    /// Adds the outcome of a request that has an idempotency key. It is written only if the player's row is written.
    pub fn remember(&mut self, record: &'a NewRecord) {
        self.records.slots.push(record.slot());
        self.records.ids.push(record.player_id);
        self.records.key_hashes.push(&record.key_hash);
        self.records.request_hashes.push(&record.request.bytes);
        self.records.command_hashes.push(record.request.masked_command());
        self.records.created_at.push(record.created_at);
        self.records.outcomes.push(&record.outcome);
    }

    /// Makes the commit skip the players for whose keys a record exists that is valid at `now`.
    pub fn unless_remembered(&mut self, keys: Keys<'a>, now: Timestamp) {
        (self.unchecked_keys.ids, self.unchecked_keys.hashes) = (keys.players, keys.hashes);
        self.unchecked_keys.now = Some(now);
    }

    /// Adds the final score of a season that a player has left. It is written only if the player's row is written.
    pub fn finish(&mut self, id: Uuid, season: Season, score: f64) {
        self.seasons.ids.push(id);
        self.seasons.seasons.push(season.number());
        self.seasons.scores.push(score);
    }

    /// A parameter of the statement: an array with one element for each change.
    fn column<T>(&self, value: impl Fn(&Change<'a>) -> T) -> Vec<T> {
        self.changes.iter().map(value).collect()
    }

    /// As [`Commit::column`], with the values of the players after the change.
    fn players<T>(&self, value: impl Fn(&Player) -> T) -> Vec<T> {
        self.column(|change| value(&change.written.record.player))
    }

    /// The cheapest statement that writes the batch.
    fn statement(&self) -> Statement<'_> {
        let has_keys = !self.records.ids.is_empty() || !self.unchecked_keys.ids.is_empty();
        let has_only_changes = self.ledger.ids.is_empty() && !has_keys;
        match self.changes.as_slice() {
            changes if !has_only_changes || !changes.iter().all(Change::is_clicks_only) => {
                self.general_statement()
            }
            [change] => single_click_statement(change),
            _ => self.clicks_statement(),
        }
    }

    /// For a batch of several players that consists of clicks and presence only.
    fn clicks_statement(&self) -> Statement<'_> {
        Statement {
            sql: include_str!("../../sql/queries/players/commit_clicks.sql"),
            parameters: vec![
                Box::new(self.column(|change| change.base.id)),
                Box::new(self.column(|change| change.base.revision)),
                Box::new(self.players(|player| signed(player.version))),
                Box::new(self.players(|player| player.energy)),
                Box::new(self.players(|player| player.lifetime_energy)),
                Box::new(self.players(|player| player.settled_at)),
                Box::new(self.column(|change| change.written.accrues_until)),
                Box::new(self.players(|player| player.clicks.tokens)),
                Box::new(self.players(|player| player.clicks.filled_at)),
            ],
        }
    }

    /// For any batch.
    fn general_statement(&self) -> Statement<'_> {
        let (ledger, records, seasons) = (&self.ledger, &self.records, &self.seasons);
        let horizons = self.unchecked_keys.now.map(horizons);
        let mut parameters: Vec<Parameter<'_>> = vec![
            Box::new(self.column(|change| change.base.id)),
            Box::new(self.column(|change| change.base.revision)),
            Box::new(ledger.ids.as_slice()),
            Box::new(ledger.versions.as_slice()),
            Box::new(ledger.at.as_slice()),
            Box::new(ledger.kinds.as_slice()),
            Box::new(ledger.references.as_slice()),
            Box::new(ledger.earned.as_slice()),
            Box::new(ledger.deltas.as_slice()),
            Box::new(ledger.balances.as_slice()),
            Box::new(records.slots.as_slice()),
            Box::new(records.ids.as_slice()),
            Box::new(records.key_hashes.as_slice()),
            Box::new(records.request_hashes.as_slice()),
            Box::new(records.created_at.as_slice()),
            Box::new(records.outcomes.as_slice()),
            Box::new(seasons.ids.as_slice()),
            Box::new(seasons.seasons.as_slice()),
            Box::new(seasons.scores.as_slice()),
            Box::new(self.unchecked_keys.ids.as_slice()),
            Box::new(self.unchecked_keys.hashes.as_slice()),
            Box::new(horizons.map(|(short, _)| short)),
            Box::new(horizons.map(|(_, long)| long)),
            Box::new(records.command_hashes.iter().map(Hash::as_slice).collect::<Vec<_>>()),
        ];
        parameters.extend(COLUMNS.iter().map(|column| (column.array)(&self.changes)));
        Statement { sql: &COMMIT, parameters }
    }
}

/// For a batch of one player that consists of clicks and presence only.
fn single_click_statement(change: &Change<'_>) -> Statement<'static> {
    let player = &change.written.record.player;
    Statement {
        sql: include_str!("../../sql/queries/players/commit_click.sql"),
        parameters: vec![
            Box::new(change.base.id),
            Box::new(change.base.revision),
            Box::new(signed(player.version)),
            Box::new(player.energy),
            Box::new(player.lifetime_energy),
            Box::new(player.settled_at),
            Box::new(change.written.accrues_until),
            Box::new(player.clicks.tokens),
            Box::new(player.clicks.filled_at),
        ],
    }
}

/// A statement and its parameters. They are arrays, except in the statement for a single player.
struct Statement<'a> {
    sql: &'static str,
    parameters: Vec<Parameter<'a>>,
}

impl Statement<'_> {
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect()
    }
}

impl Writing<'_> {
    /// Writes the batch and returns the written players. A player is skipped if its revision has changed since it was
    /// read, or if [`Commit::unless_remembered`] applies. The written rows are durable when this returns.
    ///
    /// # Errors
    /// Returns the error of the statement. After [`Error::Unavailable`] it is not known whether the batch was written.
    pub async fn commit(self, batch: &Commit<'_>) -> Result<Vec<Uuid>, Error> {
        let statement = batch.statement();
        written(&self.query(statement.sql, &statement.parameters()).await?)
    }
}

impl Transaction {
    /// As [`Writing::commit`], but the rows are durable only after the transaction has committed.
    pub async fn write(&mut self, batch: &Commit<'_>) -> Result<Vec<Uuid>, Error> {
        let statement = batch.statement();
        written(&self.query(statement.sql, &statement.parameters()).await?)
    }
}

fn written(rows: &[Row]) -> Result<Vec<Uuid>, Error> {
    rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
}

/// Converts a counter to `bigint`, its type in the database. No counter ever reaches the largest `bigint`.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
