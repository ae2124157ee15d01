//! What is asked of a lane, and what it answers.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cache::Seat;
use crate::domain::{Action, Command, Outcome, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::idempotency::Retention;
use crate::store::players::PlayerRecord;

/// A command for a player.
#[derive(Clone, Debug)]
pub struct Request {
    pub player: Uuid,
    /// The player's place in the cache, where it is at hand.
    pub seat: Option<Seat>,
    pub command: Command,
    /// Makes repeats harmless.
    pub key: Option<IdempotencyKey>,
    /// The version that the caller believes the player to have.
    pub expected_version: Option<u64>,
}

impl Request {
    /// A command with neither key nor expectation.
    pub fn new(player: Uuid, command: Command) -> Self {
        Self { player, seat: None, command, key: None, expected_version: None }
    }

    /// As [`Request::new`], for a player whose place in the cache is at hand.
    pub fn of(seat: &Seat, command: Command) -> Self {
        Self { seat: Some(seat.clone()), ..Self::new(seat.player(), command) }
    }

    /// For how long the outcome is remembered.
    pub(super) fn retention(&self) -> Retention {
        match self.command {
            Command::Act(Action::Click { .. }) => Retention::Short,
            _ => Retention::Long,
        }
    }
}

/// An idempotency key with what it was sent for. Only hashes are kept: 128 bits tell any two of a player's apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub(super) key_hash: [u8; 16],
    pub(super) request_hash: [u8; 16],
}

impl IdempotencyKey {
    /// The key of a request with this path and body.
    pub fn new(key: &str, path: &str, body: &[u8]) -> Self {
        let request = Sha256::new().chain_update(path).chain_update([0]).chain_update(body);
        Self { key_hash: half(&Sha256::digest(key)), request_hash: half(&request.finalize()) }
    }
}

fn half(digest: &[u8]) -> [u8; 16] {
    std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default())
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: Outcome,
    /// Whether the outcome is the remembered one of an earlier request.
    pub replayed: bool,
    /// The player after it.
    pub record: Arc<PlayerRecord>,
    /// The epoch of the database that it is of.
    pub epoch: Epoch,
    /// The catalogues that it was applied under.
    pub timeline: Arc<Timeline>,
    /// When it was applied.
    pub now: Timestamp,
}
