//! The requests and answers of a lane.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cache::CacheHandle;
use crate::domain::{Action, Command, Outcome, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::idempotency::{Hash, RequestHash, Retention};
use crate::store::players::PlayerRecord;

/// A command for a player, and how to apply it.
#[derive(Clone, Debug)]
pub struct Request {
    pub player: Uuid,
    /// The handle of the player's cache entry, if the caller has one.
    pub handle: Option<CacheHandle>,
    pub command: Command,
    /// Identifies the request, so that a repeat is not applied again.
    pub key: Option<IdempotencyKey>,
    /// The request is refused unless the player has this version.
    pub expected_version: Option<u64>,
}

impl Request {
    /// A command without idempotency key and expected version.
    pub fn new(player: Uuid, command: Command) -> Self {
        Self { player, handle: None, command, key: None, expected_version: None }
    }

    /// As [`Request::new`], with the handle of the player's cache entry.
    pub fn of(handle: &CacheHandle, command: Command) -> Self {
        Self { handle: Some(handle.clone()), ..Self::new(handle.player(), command) }
    }

    /// How long the outcome is stored.
    pub(super) fn retention(&self) -> Retention {
        match self.command {
            Command::Act(Action::Click { .. }) => Retention::Short,
            _ => Retention::Long,
        }
    }
}

/// The content of a request with an idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub command: &'a Command,
    pub expected_version: Option<u64>,
    /// The bytes of the body.
    pub body: &'a [u8],
}

/// The hashes of an idempotency key and of the content of its request: 128 bits each, as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub(super) key_hash: Hash,
    pub(super) request: RequestHash,
}

impl IdempotencyKey {
    /// The key of a request. `target` is its method and path.
    pub fn new(key: &str, target: &str, asked: Asked<'_>) -> Self {
        let Asked { command, expected_version, body } = asked;
        // Hashes of the serialized form are stored for a day. If the form changes, replace the marker `1`.
        let form = serde_json::to_vec(&(command, expected_version)).unwrap_or_default();
        let target = Sha256::new().chain_update(target).chain_update([0]);
        let command = target.clone().chain_update(b"1").chain_update(form);
        let request = RequestHash {
            bytes: first_16_bytes(&target.chain_update(body).finalize()),
            command: Some(first_16_bytes(&command.finalize())),
        };
        Self { key_hash: first_16_bytes(&Sha256::digest(key)), request }
    }
}

fn first_16_bytes(digest: &[u8]) -> Hash {
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}

/// The result of a command.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: Outcome,
    /// Whether this is the stored outcome of an earlier request with the same key.
    pub replayed: bool,
    /// The row after the command.
    pub record: Arc<PlayerRecord>,
    /// The epoch of the database to which the row belongs.
    pub epoch: Epoch,
    /// The catalogues under which the command was applied.
    pub timeline: Arc<Timeline>,
    /// When the command was applied.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Quantity, Slug};

    fn key(
        target: &str,
        command: &Command,
        expected_version: Option<u64>,
        body: &[u8],
    ) -> IdempotencyKey {
        IdempotencyKey::new("k", target, Asked { command, expected_version, body })
    }

    #[test]
    fn requests_match_if_target_command_and_expected_version_are_equal() {
        let click = Command::Act(Action::Click { clicks: 5 });
        let other = Command::Act(Action::Click { clicks: 6 });
        let first = key("POST /clicks", &click, None, b"{\"clicks\":5}");
        let again = key("POST /clicks", &click, None, b"{ \"clicks\": 5.0 }");
        assert!(again.request.is_of_same_request(&first.request));
        for different in [
            key("POST /clicks", &other, None, b"{\"clicks\":6}"),
            key("POST /elsewhere", &click, None, b"{\"clicks\":5}"),
            key("POST /clicks", &click, Some(0), b"{\"clicks\":5,\"expected_version\":0}"),
        ] {
            assert!(!different.request.is_of_same_request(&first.request));
        }
    }

    #[test]
    fn records_of_earlier_releases_match_by_the_bytes_of_the_body() {
        let bytes = first_16_bytes(&Sha256::digest(b"POST /clicks\0{\"clicks\":5}"));
        let remembered = RequestHash { bytes, command: None };
        let click = Command::Act(Action::Click { clicks: 5 });
        let same = key("POST /clicks", &click, None, b"{\"clicks\":5}");
        assert!(same.request.is_of_same_request(&remembered));
        let other = key("POST /clicks", &click, None, b"{\"clicks\": 5}");
        assert!(!other.request.is_of_same_request(&remembered));
    }

    /// Otherwise records that an earlier release stored would not match.
    #[test]
    fn the_serialized_form_of_commands_does_not_change() {
        let id = || Slug::try_from("wind_turbine").expect("a name");
        let actions = vec![
            Action::Click { clicks: 5 },
            Action::BuyGenerator { id: id(), quantity: Quantity::Exactly(3) },
            Action::BuyGenerator { id: id(), quantity: Quantity::Max },
            Action::BuyUpgrade { id: id() },
        ];
        let forms = [
            (
                Command::ActInOrder(actions),
                r#"{"ActInOrder":[{"Click":{"clicks":5}},{"BuyGenerator":{"id":"wind_turbine","quantity":{"Exactly":3}}},{"BuyGenerator":{"id":"wind_turbine","quantity":"Max"}},{"BuyUpgrade":{"id":"wind_turbine"}}]}"#,
            ),
            (Command::Act(Action::Click { clicks: 1 }), r#"{"Act":{"Click":{"clicks":1}}}"#),
            (Command::Prestige, r#""Prestige""#),
            (Command::Rename("Ada".into()), r#"{"Rename":"Ada"}"#),
            (
                Command::Grant { energy: 0.5, reason: "r".into() },
                r#"{"Grant":{"energy":0.5,"reason":"r"}}"#,
            ),
        ];
        for (command, form) in forms {
            assert_eq!(serde_json::to_string(&command).expect("JSON"), form);
        }
    }
}
