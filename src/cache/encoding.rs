//! The binary formats of players: values in Redis, which start with a format number, and items of messages between
//! instances. Both are encoded with postcard.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::players::PlayerRecord;

/// The number of the format in Redis. Change it and the number in `peers::message` whenever the encoding of a player or
/// of a change differs from the previous release, so that instances of two releases do not misread each other.
const FORMAT: u8 = 4;

/// A change of one player.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    /// The row after the change.
    State(Arc<PlayerRecord>),
    /// The row changed, but its new content is unknown.
    Touched(Uuid),
    /// The player was deleted.
    Deleted(Uuid),
    /// The outcome of a write is unknown. The number is the revision that the write is based on; `None` if the write
    /// does not check a revision.
    Unsettled(Uuid, Option<i64>),
}

/// A player as it is stored in Redis.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredRow<R> {
    /// When the row was current, on the database's clock. The remaining TTL is not enough to derive it, because a
    /// frozen Redis may execute a command long after it was sent.
    pub(super) current_at: Timestamp,
    pub(super) record: R,
}

/// Encodes a value after the format number; `None` if postcard fails.
pub(super) fn encode(value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![FORMAT]).ok()
}

/// Decodes a value; `None` if it has another format or is truncated.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (&format, rest) = bytes.split_first()?;
    (format == FORMAT).then(|| postcard::from_bytes(rest).ok())?
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::testing::{at, slug};
    use crate::domain::{Away, Player, Rules};

    pub(crate) fn record() -> PlayerRecord {
        let mut player = Player::new("Ada".into(), &Rules::default(), at(5.0));
        player.energy = 1e300;
        player.inventory.add_generators(&slug("crank"), 3);
        player.inventory.add_upgrade(slug("gloves"));
        player.away =
            Some(Away { seconds: 90.0, credited_seconds: 80.0, energy: 7.5, ended_at: at(4.0) });
        PlayerRecord {
            id: Uuid::from_u128(7),
            revision: 9,
            username: Some("ada".into()),
            created_at: at(1.0),
            banned: false,
            catalogue_version: 2,
            player,
        }
    }

    #[test]
    fn an_encoded_row_is_decoded_unchanged() {
        let bytes = encode(&StoredRow { current_at: at(3.0), record: &record() }).expect("written");
        let read: StoredRow<PlayerRecord> = decode(&bytes).expect("read");
        assert_eq!(format!("{:?}", read.record), format!("{:?}", record()));
        assert_eq!(read.current_at, at(3.0));
    }

    #[test]
    fn other_formats_and_truncated_values_are_rejected() {
        let mut bytes = encode(&record()).expect("written");
        assert!(decode::<PlayerRecord>(&bytes[..bytes.len() - 1]).is_none());
        bytes[0] = FORMAT + 1;
        assert!(decode::<PlayerRecord>(&bytes).is_none());
        assert!(decode::<PlayerRecord>(&[]).is_none());
    }

    #[test]
    fn changes_are_decoded() {
        let changes = vec![
            Change::State(Arc::new(record())),
            Change::Touched(record().id),
            Change::Deleted(record().id),
            Change::Unsettled(record().id, Some(8)),
        ];
        let bytes = postcard::to_extend(&changes, Vec::new()).expect("encoded");
        let decoded: Vec<Change> = postcard::from_bytes(&bytes).expect("decoded");
        assert_eq!(format!("{decoded:?}"), format!("{changes:?}"));
    }

    #[test]
    fn a_player_with_an_invalid_amount_is_not_decoded() {
        let spoil: [fn(&mut Player, f64); 6] = [
            |player, amount| player.energy = amount,
            |player, amount| player.lifetime_energy = amount,
            |player, amount| player.cores = amount,
            |player, amount| player.ledger_balance = amount,
            |player, amount| player.clicks.tokens = amount,
            |player, amount| player.away.as_mut().expect("an absence").energy = amount,
        ];
        for spoil in spoil {
            for (amount, is_read) in
                [(f64::NAN, false), (f64::INFINITY, false), (-1.0, false), (f64::MAX, true)]
            {
                let mut record = record();
                spoil(&mut record.player, amount);
                let bytes = encode(&record).expect("written");
                assert_eq!(decode::<PlayerRecord>(&bytes).is_some(), is_read, "{amount}");
                let change = postcard::to_extend(&Change::State(Arc::new(record)), Vec::new());
                let change = postcard::from_bytes::<Change>(&change.expect("encoded"));
                assert_eq!(change.is_ok(), is_read, "{amount}");
            }
        }
    }

    /// Most changes of the format change the length. If this test fails, raise `FORMAT` and then update both numbers.
    #[test]
    fn the_encoded_length_matches_the_format_number() {
        let length = encode(&record()).expect("written").len();
        assert_eq!((FORMAT, length), (4, 171));
    }
}
