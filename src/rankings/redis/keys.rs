//! The names of keys.

use crate::identity::Identity;
use crate::rankings::board::{BOARDS, Board};
use crate::redis_client::Redis;

/// The keys of one set of boards: metadata, players, and the boards.
pub(super) type Parts = [String; 2 + BOARDS];

/// The keys of the boards of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rankings) struct Keys {
    identity: Identity,
    /// The common prefix.
    stem: String,
}

impl Keys {
    /// The keys for a database in an epoch.
    pub(super) fn new(redis: &Redis, identity: Identity) -> Self {
        // All keys share one hash tag, because one script uses all of them.
        Self { identity, stem: redis.key(identity, "{rankings}:") }
    }

    /// The database and the epoch.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The keys of the boards that are read.
    pub(super) fn live(&self) -> Parts {
        self.parts("")
    }

    /// The keys of the boards that are being built.
    pub(super) fn build(&self) -> Parts {
        self.parts("build:")
    }

    fn parts(&self, stage: &str) -> Parts {
        let [lifetime, rate, season] = Board::ALL.map(Board::as_str);
        ["meta", "players", lifetime, rate, season]
            .map(|part| format!("{}{stage}{part}", self.stem))
    }
}
