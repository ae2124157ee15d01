//! The names of the keys.

use crate::rankings::board::{BOARDS, Board};
use crate::redis_client::Redis;

/// The keys of one set of boards: meta, players, and the boards.
pub(super) type Parts = [String; 2 + BOARDS];

/// The keys of the boards under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rankings) struct Keys {
    /// What all of them begin with.
    stem: String,
}

impl Keys {
    /// Those of the present prefix.
    pub(super) fn new(redis: &Redis) -> Self {
        // One tag, as all of them are named in one call.
        Self { stem: redis.key("{rankings}:") }
    }

    /// The boards that are read.
    pub(super) fn live(&self) -> Parts {
        self.parts("")
    }

    /// Those that are being built.
    pub(super) fn build(&self) -> Parts {
        self.parts("build:")
    }

    fn parts(&self, stage: &str) -> Parts {
        let [lifetime, rate, season] = Board::ALL.map(Board::as_str);
        ["meta", "players", lifetime, rate, season]
            .map(|part| format!("{}{stage}{part}", self.stem))
    }
}
