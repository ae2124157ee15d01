//! What instances tell each other, and players as they are kept in Redis: the number of the form, the identity of the
//! database where a message goes to everybody, and postcard.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::identity::Identity;
use crate::store::players::PlayerRecord;

/// The number of the form. Change it with every change of what is written, so that instances of two releases do not
/// misread each other.
const FORM: u8 = 3;

/// A message on the channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// The sender lives, and hears.
    Beat { from: Uuid },
    /// The sender ends in order.
    Bye { from: Uuid },
    /// Players that the sender changed at `at`.
    Changes { from: Uuid, at: Timestamp, changes: Vec<Change> },
}

/// A change of one player.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    /// The row after it.
    State(Arc<PlayerRecord>),
    /// Something changed.
    Touched(Uuid),
    /// The player is no more.
    Gone(Uuid),
    /// What became of a write is not known: of one that was made from this revision, or else of one that no revision guards.
    Unsettled(Uuid, Option<i64>),
}

/// A player as it is kept in Redis.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept<R> {
    /// When the row was right, on the database's clock: a Redis that freezes may carry a command out much later than it was
    /// sent.
    pub(super) right_at: Timestamp,
    pub(super) record: R,
}

/// What a message on the channel is to this instance.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Message),
    /// It is about another database, or another epoch of this one.
    NotOurs,
    /// It has another form.
    Unknown,
}

/// Writes a message of a deployment. Nothing where it cannot be written.
pub(super) fn encode_message(identity: Identity, message: &Message) -> Option<Vec<u8>> {
    let mut bytes = vec![FORM];
    bytes.extend(identity.database.to_be_bytes());
    bytes.extend(identity.epoch.number().to_be_bytes());
    postcard::to_extend(message, bytes).ok()
}

/// Reads a message on the channel of a deployment.
pub(super) fn decode_message(identity: Identity, bytes: &[u8]) -> Heard {
    let Some((&FORM, rest)) = bytes.split_first() else { return Heard::Unknown };
    let Some((database, rest)) = rest.split_first_chunk::<8>() else { return Heard::Unknown };
    let Some((epoch, rest)) = rest.split_first_chunk::<8>() else { return Heard::Unknown };
    if (*database, *epoch)
        != (identity.database.to_be_bytes(), identity.epoch.number().to_be_bytes())
    {
        return Heard::NotOurs;
    }
    postcard::from_bytes(rest).map_or(Heard::Unknown, Heard::Message)
}

/// Writes a value, with the form's number in front. Nothing where it cannot be written.
pub(super) fn encode(value: &impl Serialize) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![FORM]).ok()
}

/// Reads a value; nothing where it has another form.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (&form, rest) = bytes.split_first()?;
    (form == FORM).then(|| postcard::from_bytes(rest).ok())?
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::testing::{at, slug};
    use crate::domain::{Away, Player, Rules};
    use crate::identity::Epoch;

    const OURS: Identity = Identity { database: 7, epoch: Epoch::from_number(9) };

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
    fn what_is_written_is_read_again() {
        let bytes = encode(&Kept { right_at: at(3.0), record: &record() }).expect("written");
        let read: Kept<PlayerRecord> = decode(&bytes).expect("read");
        assert_eq!(format!("{:?}", read.record), format!("{:?}", record()));
        assert_eq!(read.right_at, at(3.0));
    }

    #[test]
    fn other_forms_and_cut_off_values_are_not_read() {
        let mut bytes = encode(&record()).expect("written");
        assert!(decode::<PlayerRecord>(&bytes[..bytes.len() - 1]).is_none());
        bytes[0] = FORM + 1;
        assert!(decode::<PlayerRecord>(&bytes).is_none());
        assert!(decode::<PlayerRecord>(&[]).is_none());
    }

    #[test]
    fn messages_about_another_database_or_another_epoch_are_not_ours() {
        let changes =
            vec![Change::State(Arc::new(record())), Change::Unsettled(record().id, Some(8))];
        let message = Message::Changes { from: Uuid::from_u128(1), at: at(2.0), changes };
        let bytes = encode_message(OURS, &message).expect("written");
        let Heard::Message(read) = decode_message(OURS, &bytes) else { panic!("not read") };
        assert_eq!(format!("{read:?}"), format!("{message:?}"));
        let copy = Identity { database: 8, ..OURS };
        let restored = Identity { epoch: Epoch::from_number(10), ..OURS };
        for other in [copy, restored] {
            assert!(matches!(decode_message(other, &bytes), Heard::NotOurs));
        }
    }

    #[test]
    fn messages_of_another_form_are_unknown() {
        let message = Message::Beat { from: Uuid::from_u128(1) };
        let bytes = encode_message(OURS, &message).expect("written");
        let unknown = |bytes: &[u8]| matches!(decode_message(OURS, bytes), Heard::Unknown);
        assert!((0..bytes.len()).all(|length| unknown(&bytes[..length])));
        assert!(unknown(&[&[FORM + 1], &bytes[1..]].concat()));
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
                let change = Change::State(Arc::new(record));
                let message =
                    Message::Changes { from: Uuid::nil(), at: at(0.0), changes: vec![change] };
                let bytes = encode_message(OURS, &message).expect("written");
                let heard = decode_message(OURS, &bytes);
                assert_eq!(matches!(heard, Heard::Message(_)), is_read, "{amount}");
            }
        }
    }

    /// The length tells most changes of what is written: raise `FORM` when this fails, then the number.
    #[test]
    fn the_form_is_the_one_of_its_number() {
        let length = encode(&record()).expect("written").len();
        assert_eq!((FORM, length), (3, 170));
    }
}
