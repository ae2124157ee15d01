//! The binary format of messages between instances: the version of the format, the identity of the database, the kind
//! of message, and the sender. A message with items also contains their time and the items of one topic. The parts from
//! the kind on are encoded by postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::identity::Identity;

/// The version of the format. Change it whenever the format of messages or of a topic's items changes, so that
/// instances of different releases do not misread each other's messages.
const FORMAT: u8 = 4;

/// What the items of a topic must implement.
pub trait Item: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Item for T {}

/// The number of a topic in messages. 0 and 1 are the kinds of messages without a topic. The number of a removed topic
/// is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic(u32);

impl Topic {
    /// Players' rows that changed.
    pub const PLAYERS: Self = Self(2);
    /// What was committed, so that others look at it at once.
    pub const SIGNALS: Self = Self(3);
}

/// A message between instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// The sender is running and connected.
    Heartbeat { from: Uuid },
    /// The sender shuts down.
    Shutdown { from: Uuid },
    /// Encoded items of a topic that were valid at `at`.
    Items { topic: Topic, from: Uuid, at: Timestamp, items: &'a [u8] },
}

/// The result of decoding a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Message(Message<'a>),
    /// The message is about another database, or about another epoch of this one.
    OtherIdentity,
    /// The format is unknown to this release.
    Unknown,
}

/// Encodes a message; `None` if postcard fails.
pub(super) fn encode(identity: Identity, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![FORMAT];
    bytes.extend(identity.database.to_be_bytes());
    bytes.extend(identity.epoch.number().to_be_bytes());
    match *message {
        Message::Heartbeat { from } => postcard::to_extend(&(0_u32, from), bytes).ok(),
        Message::Shutdown { from } => postcard::to_extend(&(1_u32, from), bytes).ok(),
        Message::Items { topic, from, at, items } => {
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

/// Decodes the part of a message that follows the version of the format and the identity.
pub(super) fn decode_message(bytes: &[u8]) -> Option<Message<'_>> {
    let ((kind, from), rest): ((u32, Uuid), _) = postcard::take_from_bytes(bytes).ok()?;
    Some(match kind {
        0 => Message::Heartbeat { from },
        1 => Message::Shutdown { from },
        topic => {
            let (at, items) = postcard::take_from_bytes(rest).ok()?;
            Message::Items { topic: Topic(topic), from, at, items }
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

    fn items_message(items: &[u8]) -> Message<'_> {
        let from = Uuid::from_u128(1);
        Message::Items { topic: Topic::PLAYERS, from, at: at(2.0), items }
    }

    #[test]
    fn messages_are_decoded_unless_they_are_of_another_database_or_epoch() {
        let items = encode_items(&[5_u32, 6]).expect("encoded");
        for message in [
            Message::Heartbeat { from: Uuid::from_u128(1) },
            Message::Shutdown { from: Uuid::from_u128(2) },
            items_message(&items),
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
    fn messages_of_another_format_are_unknown() {
        let bytes =
            encode(OURS, &Message::Heartbeat { from: Uuid::from_u128(1) }).expect("encoded");
        assert!((0..bytes.len()).all(|length| decode(OURS, &bytes[..length]) == Decoded::Unknown));
        let next_format = [&[FORMAT + 1], &bytes[1..]].concat();
        assert_eq!(decode(OURS, &next_format), Decoded::Unknown);
    }

    /// Earlier releases with the same `FORMAT` encoded one enum, whose last variant contained the changes of players.
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
            (Earlier::Beat { from }, Message::Heartbeat { from }),
            (Earlier::Bye { from }, Message::Shutdown { from }),
            (Earlier::Changes { from, at: at(2.0), changes: vec![5, 6] }, items_message(&items)),
        ] {
            let bytes = encode(OURS, &message).expect("encoded");
            assert_eq!(postcard::to_extend(&earlier, Vec::new()).expect("encoded"), bytes[17..]);
        }
    }
}
