//! Writing a batch of folded players in one statement.

use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::error::Error;
use super::idempotency::NewRecord;
use super::players::InventoryColumn;
use super::pool::{Store, Transaction};
use crate::domain::{LedgerEntry, Player, Timestamp};

/// A player as it is to be written.
pub struct Change<'a> {
    pub id: Uuid,
    /// The revision of the row that it was folded from.
    pub expected_revision: i64,
    pub player: &'a Player,
    /// The player's rate at its `settled_at`.
    pub energy_per_second: f64,
    pub accrues_until: Timestamp,
    /// The catalogue in force at its `settled_at`.
    pub catalogue_version: u64,
    /// Whether the inventory is not the row's; where it is, it is not sent.
    pub inventory_changed: bool,
    /// Whether the display name is not the row's.
    pub name_changed: bool,
}

/// A batch in the shape of the statement's parameters: an array a column.
#[derive(Default)]
pub struct Commit<'a> {
    ids: Vec<Uuid>,
    expected_revisions: Vec<i64>,
    versions: Vec<i64>,
    energies: Vec<f64>,
    lifetime_energies: Vec<f64>,
    settled_at: Vec<Timestamp>,
    last_seen_at: Vec<Timestamp>,
    accrues_until: Vec<Timestamp>,
    click_tokens: Vec<f64>,
    clicks_filled_at: Vec<Timestamp>,
    unseen_energies: Vec<f64>,
    ledger_balances: Vec<f64>,
    away_seconds: Vec<Option<f64>>,
    away_credited_seconds: Vec<Option<f64>>,
    away_energies: Vec<Option<f64>>,
    away_ended_at: Vec<Option<Timestamp>>,
    rates: Vec<f64>,
    catalogue_versions: Vec<i64>,
    cores: Vec<f64>,
    inventories: Vec<Option<Json<InventoryColumn>>>,
    display_names: Vec<Option<&'a str>>,
    ledger: LedgerColumns<'a>,
    records: RecordColumns<'a>,
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
    created_at: Vec<Timestamp>,
    outcomes: Vec<&'a str>,
}

impl<'a> Commit<'a> {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a player.
    pub fn write(&mut self, change: &Change<'a>) {
        let player = change.player;
        self.ids.push(change.id);
        self.expected_revisions.push(change.expected_revision);
        self.versions.push(signed(player.version));
        self.energies.push(player.energy);
        self.lifetime_energies.push(player.lifetime_energy);
        self.settled_at.push(player.settled_at);
        self.last_seen_at.push(player.last_seen_at);
        self.accrues_until.push(change.accrues_until);
        self.click_tokens.push(player.clicks.tokens);
        self.clicks_filled_at.push(player.clicks.filled_at);
        self.unseen_energies.push(player.unseen_energy);
        self.ledger_balances.push(player.ledger_balance);
        self.away_seconds.push(player.away.map(|away| away.seconds));
        self.away_credited_seconds.push(player.away.map(|away| away.credited_seconds));
        self.away_energies.push(player.away.map(|away| away.energy));
        self.away_ended_at.push(player.away.map(|away| away.ended_at));
        self.rates.push(change.energy_per_second);
        self.catalogue_versions.push(signed(change.catalogue_version));
        self.cores.push(player.cores);
        let inventory = change.inventory_changed.then(|| Json((&player.inventory).into()));
        self.inventories.push(inventory);
        self.display_names.push(change.name_changed.then_some(player.display_name.as_str()));
    }

    /// Adds a line to a player's ledger; it is written only with the player.
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

    /// Adds the outcome of a request that carried a key; it is written only with the player.
    pub fn remember(&mut self, record: &'a NewRecord) {
        self.records.slots.push(record.slot());
        self.records.ids.push(record.player_id);
        self.records.key_hashes.push(&record.key_hash);
        self.records.request_hashes.push(&record.request_hash);
        self.records.created_at.push(record.created_at);
        self.records.outcomes.push(&record.outcome);
    }

    /// The statement that writes it, and how many of the parameters that takes.
    fn statement(&self) -> (&'static str, usize) {
        if self.ledger.ids.is_empty() && self.records.ids.is_empty() {
            (ALONE, PLAYER_PARAMETERS)
        } else {
            (WHOLE, PARAMETERS)
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); PARAMETERS] {
        let (ledger, records) = (&self.ledger, &self.records);
        [
            &self.ids,
            &self.expected_revisions,
            &self.versions,
            &self.energies,
            &self.lifetime_energies,
            &self.settled_at,
            &self.last_seen_at,
            &self.accrues_until,
            &self.click_tokens,
            &self.clicks_filled_at,
            &self.unseen_energies,
            &self.ledger_balances,
            &self.away_seconds,
            &self.away_credited_seconds,
            &self.away_energies,
            &self.away_ended_at,
            &self.rates,
            &self.catalogue_versions,
            &self.cores,
            &self.inventories,
            &self.display_names,
            &ledger.ids,
            &ledger.versions,
            &ledger.at,
            &ledger.kinds,
            &ledger.references,
            &ledger.earned,
            &ledger.deltas,
            &ledger.balances,
            &records.slots,
            &records.ids,
            &records.key_hashes,
            &records.request_hashes,
            &records.created_at,
            &records.outcomes,
        ]
    }
}

const WHOLE: &str = include_str!("../../sql/queries/players/commit.sql");
const ALONE: &str = include_str!("../../sql/queries/players/commit_alone.sql");

const PARAMETERS: usize = 35;
/// Parameters of [`ALONE`]: those that are of the players themselves.
const PLAYER_PARAMETERS: usize = 21;

impl Store {
    /// Writes the batch, durable when this returns, and returns the players whose guard held.
    ///
    /// # Errors
    /// As every statement's; after [`Error::Unavailable`] it is unknown whether it was written.
    pub async fn commit(&self, batch: &Commit<'_>) -> Result<Vec<Uuid>, Error> {
        let parameters = batch.parameters();
        let (statement, count) = batch.statement();
        let rows = self.query(statement, &parameters[..count]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}

impl Transaction {
    /// As [`Store::commit`], durable when the transaction is.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn write(&mut self, batch: &Commit<'_>) -> Result<Vec<Uuid>, Error> {
        let parameters = batch.parameters();
        let (statement, count) = batch.statement();
        let rows = self.query(statement, &parameters[..count]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}

/// Counters are `bigint` in the database; none comes near its end.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
