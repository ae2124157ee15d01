//! The binary format of messages between instances: the format number, the identity of the database, the kind of
//! message, the sender, and for news the time and the items of one topic. The last parts are written by postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::identity::Identity;

/// The format number. Change it whenever the format of messages or of a topic's items changes, so that instances of two
/// releases do not misread each other.
const FORMAT: u8 = 3;

/// What a topic's items must be able to do.
pub trait Item: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Item for T {}

/// The number of a topic in messages. Numbers below 2 are kinds of messages without a topic. A number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic(u32);

impl Topic {
    /// Players' rows that changed.
    pub const PLAYERS: Self = Self(2);
}

/// A message between instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The sender is running and connected.
    Beat { from: Uuid },
    /// The sender shuts down.
    Bye { from: Uuid },
    /// Items of a topic, encoded, that were valid at `at`.
    News { topic: Topic, from: Uuid, at: Timestamp, items: &'a [u8] },
}

/// The result of decoding a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Message(Message<'a>),
    /// The message concerns another database, or another epoch of this one.
    OtherIdentity,
    /// The message has a format that this release does not know.
    Unknown,
}

/// Encodes a message; `None` if postcard fails.
pub(super) fn encode(identity: Identity, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![FORMAT];
    bytes.extend(identity.database.to_be_bytes());
    bytes.extend(identity.epoch.number().to_be_bytes());
    match *message {
        Message::Beat { from } => postcard::to_extend(&(0_u32, from), bytes).ok(),
        Message::Bye { from } => postcard::to_extend(&(1_u32, from), bytes).ok(),
        Message::News { topic, from, at, items } => {
            let mut bytes = postcard::to_extend(&(topic.0, from, at), bytes).ok()?;
            bytes.extend_from_slice(items);
            Some(bytes)
        }
    }
}

/// Decodes a message that was received on the channel of `identity`.
pub(super) fn decode(identity: Identity, bytes: &[u8]) -> Decoded<'_> {
    let Some((&FORMAT, rest)) = bytes.split_first() else { return Decoded::Unknown };
    let Some((database, rest)) = rest.split_first_chunk::<8>() else { return Decoded::Unknown };
    let Some((epoch, rest)) = rest.split_first_chunk::<8>() else { return Decoded::Unknown };
    if (*database, *epoch)
        != (identity.database.to_be_bytes(), identity.epoch.number().to_be_bytes())
    {
        return Decoded::OtherIdentity;
    }
    decode_message(rest).map_or(Decoded::Unknown, Decoded::Message)
}

/// Decodes a message without the format number and the identity.
pub(super) fn decode_message(bytes: &[u8]) -> Option<Message<'_>> {
    let ((kind, from), rest): ((u32, Uuid), _) = postcard::take_from_bytes(bytes).ok()?;
    Some(match kind {
        0 => Message::Beat { from },
        1 => Message::Bye { from },
        topic => {
            let (at, items) = postcard::take_from_bytes(rest).ok()?;
            Message::News { topic: Topic(topic), from, at, items }
        }
    })
}

/// Encodes the items of one message; `None` if postcard fails.
pub(super) fn encode_items<T: Item>(items: &[T]) -> Option<Vec<u8>> {
    postcard::to_extend(items, Vec::new()).ok()
}

/// Decodes the items of one message; `None` if they have another format.
pub(super) fn decode_items<T: Item>(bytes: &[u8]) -> Option<Vec<T>> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;
    use crate::identity::Epoch;

    const OURS: Identity = Identity { database: 7, epoch: Epoch::from_number(9) };

    fn news(items: &[u8]) -> Message<'_> {
        let from = Uuid::from_u128(1);
        Message::News { topic: Topic::PLAYERS, from, at: at(2.0), items }
    }

    #[test]
    fn messages_of_another_database_or_epoch_are_recognised() {
        let items = encode_items(&[5_u32, 6]).expect("encoded");
        for message in [
            Message::Beat { from: Uuid::from_u128(1) },
            Message::Bye { from: Uuid::from_u128(2) },
            news(&items),
        ] {
            let bytes = encode(OURS, &message).expect("encoded");
            assert_eq!(decode(OURS, &bytes), Decoded::Message(message));
            let copy = Identity { database: 8, ..OURS };
            let restored = Identity { epoch: Epoch::from_number(10), ..OURS };
            for other in [copy, restored] {
                assert_eq!(decode(other, &bytes), Decoded::OtherIdentity);
            }
        }
        assert_eq!(decode_items::<u32>(&items), Some(vec![5, 6]));
    }

    #[test]
    fn messages_of_another_format_are_ignored() {
        let bytes = encode(OURS, &Message::Beat { from: Uuid::from_u128(1) }).expect("encoded");
        assert!((0..bytes.len()).all(|length| decode(OURS, &bytes[..length]) == Decoded::Unknown));
        let next_form = [&[FORMAT + 1], &bytes[1..]].concat();
        assert_eq!(decode(OURS, &next_form), Decoded::Unknown);
    }

    /// The format that earlier releases with the number 3 wrote: one enum with the changes of players in its last variant.
    #[test]
    fn the_format_is_that_of_earlier_releases() {
        #[derive(Serialize)]
        enum Earlier {
            Beat { from: Uuid },
            Bye { from: Uuid },
            Changes { from: Uuid, at: Timestamp, changes: Vec<u32> },
        }
        let from = Uuid::from_u128(1);
        let items = encode_items(&[5_u32, 6]).expect("encoded");
        for (earlier, message) in [
            (Earlier::Beat { from }, Message::Beat { from }),
            (Earlier::Bye { from }, Message::Bye { from }),
            (Earlier::Changes { from, at: at(2.0), changes: vec![5, 6] }, news(&items)),
        ] {
            let bytes = encode(OURS, &message).expect("encoded");
            assert_eq!(postcard::to_extend(&earlier, Vec::new()).expect("encoded"), bytes[17..]);
        }
    }
}
