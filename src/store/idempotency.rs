//! Stored outcomes of requests that have an idempotency key.
//!
//! They are in rings of list partitions (*slots*): eight hours each for most requests, ten minutes each for clicks. A
//! slot is emptied by `truncate` while its turn comes next, when everything in it has expired. The same statement
//! determines the slot by the database's clock, so a worker that was paused does not empty a slot that is in use. No
//! DDL runs while the server runs, and no record can lack its partition.
//!
//! A record contains a hash of method, path and the parsed command, so blanks, the order of members and `5.0` for `5`
//! make no difference. It also contains a hash of the body's bytes, the only one that the release before knows, so that
//! each release recognises the repeats of the other.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::Error;
use super::jobs::Lease;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;

/// How long an outcome is stored. Each retention has its own ring of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Clicks: 10 minutes.
    Short,
    /// Everything else: 24 hours.
    Long,
}

/// A ring of partitions. Each is in use for `period` in turn and is emptied before its next turn. A ring has one slot
/// more than the retention needs, so everything in the slot that is next has expired.
struct Ring {
    first_slot: i16,
    slots: i64,
    period_micros: i64,
}

const MINUTE_MICROS: i64 = 60_000_000;
const SHORT_RING: Ring = Ring { first_slot: 10, slots: 3, period_micros: 10 * MINUTE_MICROS };
/// No slot is emptied this close to the end of a turn: instances know the database's time to within a second, and a
/// statement takes six at most.
const TURN_MARGIN_MICROS: i64 = MINUTE_MICROS / 2;
const LONG_RING: Ring = Ring { first_slot: 0, slots: 5, period_micros: 8 * 60 * MINUTE_MICROS };

impl Retention {
    /// How long an outcome is valid.
    pub const fn seconds(self) -> f64 {
        match self {
            Self::Short => 600.0,
            Self::Long => 86_400.0,
        }
    }

    const fn ring(self) -> Ring {
        match self {
            Self::Short => SHORT_RING,
            Self::Long => LONG_RING,
        }
    }

    fn slot_at(self, now: Timestamp) -> i16 {
        let ring = self.ring();
        let turn = now.as_micros().div_euclid(ring.period_micros).rem_euclid(ring.slots);
        ring.first_slot + turn as i16
    }
}

/// The first 128 bits of a digest.
pub type Hash = [u8; 16];

/// Distinguishes a repeat from another request with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash {
    /// The hash of method, path and the bytes of the body, which is all that the release before knows.
    pub bytes: Hash,
    /// The hash of method, path and command: bodies with the same meaning are the same request. `None` if the release
    /// before wrote the record.
    pub command: Option<Hash>,
}

impl RequestHash {
    /// Whether both belong to the same request.
    pub fn is_of_same_request(&self, other: &Self) -> bool {
        let is_same_command = self.command.is_some() && self.command == other.command;
        is_same_command || self.bytes == other.bytes
    }

    /// The hash of the command in the form that is stored.
    pub(super) fn tied_command(&self) -> Hash {
        tie(&self.command.unwrap_or_default(), &self.bytes)
    }

    /// Decodes the stored hashes. Invalid hashes match no request, so that the key is refused and nothing is done
    /// twice.
    fn stored(bytes: &[u8], tied: Option<&[u8]>) -> Self {
        let bytes = Hash::try_from(bytes).unwrap_or_default();
        let tied = tied.and_then(|tied| Hash::try_from(tied).ok());
        Self { bytes, command: tied.map(|tied| tie(&tied, &bytes)) }
    }
}

/// The exclusive or of two hashes. Applying it twice gives the first hash again.
fn tie(one: &Hash, other: &Hash) -> Hash {
    std::array::from_fn(|index| one[index] ^ other[index])
}

/// An outcome to store.
#[derive(Clone, Debug)]
pub struct NewRecord {
    pub player_id: Uuid,
    pub key_hash: Hash,
    pub request: RequestHash,
    pub created_at: Timestamp,
    pub retention: Retention,
    /// The outcome as compact JSON.
    pub outcome: String,
}

impl NewRecord {
    pub(super) fn slot(&self) -> i16 {
        self.retention.slot_at(self.created_at)
    }
}

/// Idempotency keys of players, in two parallel lists.
#[derive(Default)]
pub struct Keys<'a> {
    pub players: Vec<Uuid>,
    /// The hashes of the keys.
    pub hashes: Vec<&'a [u8]>,
}

impl<'a> Keys<'a> {
    fn is_empty(&self) -> bool {
        self.players.is_empty()
    }

    /// Adds a key.
    pub fn push(&mut self, player: Uuid, hash: &'a [u8]) {
        self.players.push(player);
        self.hashes.push(hash);
    }
}

/// A stored outcome.
#[derive(Clone, Debug)]
pub struct Record {
    pub player_id: Uuid,
    pub key_hash: Vec<u8>,
    pub request: RequestHash,
    pub outcome: String,
    /// The revision of the player's row when the record was found; `None` if the player no longer exists.
    pub revision: Option<i64>,
}

/// A stored outcome in the form of the export.
#[derive(Clone, Debug)]
pub struct ListedRecord {
    pub key_hash: String,
    pub created_at: Timestamp,
    pub outcome: String,
}

const FIND: &str = include_str!("../../sql/queries/idempotency/find.sql");

impl Store {
    /// The valid records of these keys.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_records(
        &self,
        keys: &Keys<'_>,
        now: Timestamp,
    ) -> Result<Vec<Record>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (short, long) = horizons(now);
        let rows = self.query(FIND, &[&keys.players, &keys.hashes, &short, &long]).await?;
        rows.iter().map(decode).collect()
    }

    /// A player's records, oldest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_records(&self, player: Uuid) -> Result<Vec<ListedRecord>, Error> {
        let sql = include_str!("../../sql/queries/idempotency/list.sql");
        let rows = self.query(sql, &[&player]).await?;
        rows.iter()
            .map(|row| {
                Ok(ListedRecord {
                    key_hash: row.try_get("key_hash")?,
                    created_at: row.try_get("created_at")?,
                    outcome: row.try_get("outcome")?,
                })
            })
            .collect()
    }

    /// Empties the slots that are next by truncating them, and finishes the job that does so. Returns how many were
    /// emptied, or `None` if the job's lease was lost or has expired. The time is the database's, or `substitute` under
    /// a clock that does not tell the database's time.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn empty_idle_slots(
        &self,
        lease: Lease,
        substitute: Option<Timestamp>,
    ) -> Result<Option<usize>, Error> {
        let rings = [SHORT_RING, LONG_RING];
        let first_slots = rings.each_ref().map(|ring| ring.first_slot);
        let slots = rings.each_ref().map(|ring| ring.slots);
        let periods = rings.each_ref().map(|ring| ring.period_micros);
        // A substitute is the same for all instances.
        let margin = if substitute.is_some() { 0 } else { TURN_MARGIN_MICROS };
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &lease.job,
            &lease.token,
            &substitute,
            &first_slots.as_slice(),
            &slots.as_slice(),
            &periods.as_slice(),
            &margin,
        ];
        let sql = include_str!("../../sql/queries/idempotency/empty_slots.sql");
        let rows = self.query(sql, &parameters).await?;
        let mut emptied = 0;
        for row in &rows {
            emptied += usize::from(row.try_get::<_, bool>("emptied")?);
        }
        Ok((!rows.is_empty()).then_some(emptied))
    }
}

impl Transaction {
    /// As [`Store::find_records`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_records(
        &mut self,
        keys: &Keys<'_>,
        now: Timestamp,
    ) -> Result<Vec<Record>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (short, long) = horizons(now);
        let rows = self.query(FIND, &[&keys.players, &keys.hashes, &short, &long]).await?;
        rows.iter().map(decode).collect()
    }
}

/// The age limit of valid records in each ring.
pub(super) fn horizons(now: Timestamp) -> (Timestamp, Timestamp) {
    let [short, long] = [Retention::Short, Retention::Long];
    (now.plus_seconds(-short.seconds()), now.plus_seconds(-long.seconds()))
}

fn decode(row: &tokio_postgres::Row) -> Result<Record, Error> {
    Ok(Record {
        player_id: row.try_get("player_id")?,
        key_hash: row.try_get("key_hash")?,
        request: RequestHash::stored(row.try_get("request_hash")?, row.try_get("command_hash")?),
        outcome: row.try_get("outcome")?,
        revision: row.try_get("revision")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_another_release_left_behind_fits_nothing() {
        let first = RequestHash { bytes: [1; 16], command: Some([2; 16]) };
        let tied = first.tied_command();
        assert_eq!(RequestHash::stored(&first.bytes, Some(&tied)), first);
        let repeat = RequestHash { bytes: [3; 16], command: Some([2; 16]) };
        assert!(repeat.is_of_same_request(&first));
        // The release before replaced the hash of the first request by its own and left the column that it does not
        // know.
        let replaced = RequestHash::stored(&[4; 16], Some(&tied));
        assert!(!repeat.is_of_same_request(&replaced));
        let same_bytes = RequestHash { bytes: [4; 16], command: Some([5; 16]) };
        assert!(same_bytes.is_of_same_request(&replaced));
        for bytes in [&[1; 15][..], &[]] {
            assert!(!first.is_of_same_request(&RequestHash::stored(bytes, None)));
        }
    }
}
