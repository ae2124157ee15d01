//! The boards and their entries.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{Season, Timeline, Timestamp};
use crate::store::players::PlayerRecord;

/// A board that ranks all players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// The sum of all energy from production and clicks.
    LifetimeEnergy,
    /// The current production per second.
    EnergyPerSecond,
    /// Lifetime energy gained since the season began.
    Season,
}

/// The number of boards.
pub(super) const BOARDS: usize = 3;

impl Board {
    /// All boards.
    pub const ALL: [Self; BOARDS] = [Self::LifetimeEnergy, Self::EnergyPerSecond, Self::Season];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LifetimeEnergy => "lifetime_energy",
            Self::EnergyPerSecond => "energy_per_second",
            Self::Season => "season",
        }
    }

    /// The board with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|board| board.as_str() == name)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// A score for each board, in the order of [`Board::ALL`]. All are finite and non-negative.
pub(super) type Scores = [f64; BOARDS];

/// Orders standings by age: first by the revision of the player's row, then by the time of the calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) revision: i64,
    pub(super) at: Timestamp,
}

/// A player's standing.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) player: Uuid,
    pub(super) stamp: Stamp,
    /// `None` removes the player from the boards.
    pub(super) place: Option<Place>,
}

/// The name and the scores of a player.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) scores: Scores,
}

impl Standing {
    /// The standing that a row has at `now`. Banned players are not on the boards.
    pub(super) fn of(record: &PlayerRecord, timeline: &Timeline, now: Timestamp) -> Self {
        let player = &record.player;
        let now = player.not_before_settled(now);
        let place = (!record.banned).then(|| Place {
            name: Arc::clone(&player.display_name),
            scores: [
                player.lifetime_energy_at(timeline, now),
                player.production(timeline, now).energy_per_second,
                player.season_score(timeline, now),
            ],
        });
        Self { player: record.id, stamp: Stamp { revision: record.revision, at: now }, place }
    }

    /// The standing of a deleted player. It has the highest revision, so no later publication adds the player again.
    pub(super) fn deleted(player: Uuid, now: Timestamp) -> Self {
        Self { player, stamp: Stamp { revision: i64::MAX, at: now }, place: None }
    }
}

/// Standings that were calculated together. No player occurs twice.
#[derive(Clone, Debug)]
pub(super) struct Publication<'a> {
    /// The season of the scores on [`Board::Season`].
    pub(super) season: Season,
    /// When the scores were calculated.
    pub(super) as_of: Timestamp,
    pub(super) standings: &'a [Standing],
}

/// A page of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// When the latest scores of the board were calculated.
    pub as_of: Timestamp,
    pub total_players: u64,
    /// Best first, without gaps.
    pub entries: Vec<Entry>,
}

/// A player's entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Starts at 1. Players with equal scores have different ranks: the older player comes first.
    pub rank: u64,
    pub player: Uuid,
    pub name: Arc<str>,
    pub score: f64,
}

/// A player and the players ranked next to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    pub rank: u64,
    pub score: f64,
    /// The player and those next to it, best first.
    pub list: List,
}

impl Surroundings {
    /// The percentage of other players that rank below the player: 100 for the first and for the only player, 0 for the
    /// last.
    pub fn percentile(&self) -> f64 {
        let others = self.list.total_players.saturating_sub(1);
        if others == 0 {
            return 100.0;
        }
        self.list.total_players.saturating_sub(self.rank) as f64 / others as f64 * 100.0
    }
}

/// The state of the boards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// When and in which season they were last rebuilt completely; `None` if they are incomplete.
    pub(super) rebuilt: Option<(Timestamp, Season)>,
    /// Whether they are incomplete because a part was lost.
    pub(super) is_damaged: bool,
}

/// Why the boards cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The boards are being built and not complete yet.
    #[error("the rankings are being built")]
    Incomplete,
    /// Redis is unavailable.
    #[error("Redis: {0}")]
    Redis(#[from] crate::redis_client::Unavailable),
    /// Another rebuild took over, a part of the new boards was lost, or the boards were reset.
    #[error("interrupted by another rebuild, by a loss in Redis or by a reset")]
    Interrupted,
}
