//! Stored outcomes of requests that have an idempotency key.
//!
//! The records are in two [rings](Ring) of partitions: each slot is in use for eight hours for most requests, and for
//! ten minutes for clicks.
//!
//! A record contains a hash of method, path and the parsed command, so that white space, the order of JSON members, and
//! `5.0` instead of `5` make no difference. It also contains a hash of the bytes of the body. This is the only hash
//! that the previous release knows, so that during an upgrade each release recognizes repeats of requests that the
//! other one answered.

use std::time::Duration;

use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use super::ring::Ring;
use crate::domain::Timestamp;

/// How long an outcome is stored. Each retention has its own ring of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Clicks: 10 minutes.
    Short,
    /// Everything else: 24 hours.
    Long,
}

const SHORT_RING: Ring =
    Ring { table: TABLE, first_slot: 10, slots: 3, period: Duration::from_mins(10) };
const LONG_RING: Ring =
    Ring { table: TABLE, first_slot: 0, slots: 5, period: Duration::from_hours(8) };
const TABLE: &str = "idempotency_records";
/// The rings of the records.
pub const RINGS: [Ring; 2] = [SHORT_RING, LONG_RING];

impl Retention {
    /// How long an outcome is valid, in seconds.
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
}

/// The first 128 bits of a digest.
pub type Hash = [u8; 16];

/// Distinguishes a repeat of a request from another request with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash {
    /// The hash of method, path and the bytes of the body. The previous release knows only this hash.
    pub bytes: Hash,
    /// The hash of method, path and command. It is equal for different bodies with the same meaning. `None` if the
    /// previous release wrote the record.
    pub command: Option<Hash>,
}

impl RequestHash {
    /// Whether both belong to the same request.
    pub fn is_of_same_request(&self, other: &Self) -> bool {
        let is_same_command = self.command.is_some() && self.command == other.command;
        is_same_command || self.bytes == other.bytes
    }

    /// The hash of the command in the form that is stored: combined with the hash of the bytes by exclusive or. If the
    /// previous release replaces the record, it changes only the hash of the bytes. Then decoding gives a hash of the
    /// command that matches no request, and not that of the earlier request.
    pub(super) fn masked_command(&self) -> Hash {
        xor(&self.command.unwrap_or_default(), &self.bytes)
    }

    /// Decodes the stored hashes. Invalid hashes match no request, so that the request is refused and not executed
    /// twice.
    fn stored(bytes: &[u8], masked_command: Option<&[u8]>) -> Self {
        let bytes = Hash::try_from(bytes).unwrap_or_default();
        let masked = masked_command.and_then(|masked| Hash::try_from(masked).ok());
        Self { bytes, command: masked.map(|masked| xor(&masked, &bytes)) }
    }
}

/// The exclusive or of two hashes. Applying it twice with the same hash gives the first hash again.
fn xor(one: &Hash, other: &Hash) -> Hash {
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
        self.retention.ring().slot_at(self.created_at)
    }
}

/// Idempotency keys of players, in two lists of the same length.
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
    /// The revision of the player's row in the same snapshot. Rows with this revision or a later one contain the effect
    /// of the request. `None` if the player no longer exists.
    pub revision: Option<i64>,
}

/// A stored outcome in the export of a player's data.
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

/// The times after which the valid records of the short and of the long ring were created.
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
    fn an_outdated_command_hash_in_a_record_of_the_previous_release_matches_no_request() {
        let first = RequestHash { bytes: [1; 16], command: Some([2; 16]) };
        let masked = first.masked_command();
        assert_eq!(RequestHash::stored(&first.bytes, Some(&masked)), first);
        let repeat = RequestHash { bytes: [3; 16], command: Some([2; 16]) };
        assert!(repeat.is_of_same_request(&first));
        // The previous release replaced the record of the first request, but did not change the column that it does not
        // know.
        let replaced = RequestHash::stored(&[4; 16], Some(&masked));
        assert!(!repeat.is_of_same_request(&replaced));
        let same_bytes = RequestHash { bytes: [4; 16], command: Some([5; 16]) };
        assert!(same_bytes.is_of_same_request(&replaced));
        for bytes in [&[1; 15][..], &[]] {
            assert!(!first.is_of_same_request(&RequestHash::stored(bytes, None)));
        }
    }
}
