//! Instances of the release before, which know no identity of the database and use one channel for all. They are there
//! while a new release is rolled out. To be removed with the release after this one.
//!
//! While they are heard, what was read is kept for a second only, as they announce nothing where they believe to be alone. What
//! they do announce is read again from the database, as another deployment may use the same channel. They do not hear what this
//! instance changes, so it tells them by the database that it cannot announce (`silences`).

use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::players::PlayerRecord;

/// The number of their form.
const FORM: u8 = 2;

/// Their channel, after the prefix of the keys.
pub(super) const CHANNEL: &str = "changes";

/// A message of theirs. Who sends it and when does not matter.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[cfg_attr(not(test), expect(dead_code, reason = "what is not read is a part of the form"))]
pub(super) enum Message {
    Beat { from: Uuid },
    Bye { from: Uuid },
    Changes { from: Uuid, at: Timestamp, changes: Vec<Change> },
}

/// A change of one player.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum Change {
    State(Arc<PlayerRecord>),
    Touched(Uuid),
    Gone(Uuid),
}

impl Change {
    /// Whose row changed.
    pub(super) fn player(&self) -> Uuid {
        match self {
            Self::State(record) => record.id,
            Self::Touched(player) | Self::Gone(player) => *player,
        }
    }
}

/// Reads a message; nothing where it has another form.
pub(super) fn decode(bytes: &[u8]) -> Option<Message> {
    let (&form, rest) = bytes.split_first()?;
    (form == FORM).then(|| postcard::from_bytes(rest).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::message::tests::record;
    use crate::domain::testing::at;

    #[test]
    fn changes_of_the_release_before_are_understood() {
        let players: Vec<_> = (7..10).map(Uuid::from_u128).collect();
        let changes = vec![
            Change::State(Arc::new(record())),
            Change::Touched(players[1]),
            Change::Gone(players[2]),
        ];
        let message = Message::Changes { from: Uuid::from_u128(1), at: at(2.0), changes };
        let bytes = postcard::to_extend(&message, vec![FORM]).expect("written");
        let Some(Message::Changes { changes, .. }) = decode(&bytes) else { panic!("not read") };
        assert_eq!(changes.iter().map(Change::player).collect::<Vec<_>>(), players);
    }

    /// As that release wrote them.
    #[test]
    fn a_heartbeat_of_the_release_before_is_understood() {
        let bytes = [&[2, 0, 16][..], &[7; 16]].concat();
        assert!(
            matches!(decode(&bytes), Some(Message::Beat { from }) if from.as_bytes() == &[7; 16])
        );
        assert!(decode(&[&[3, 0, 16][..], &[7; 16]].concat()).is_none());
    }
}
