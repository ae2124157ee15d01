//! The boards, and what stands on them.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{Season, Timeline, Timestamp};
use crate::store::players::PlayerRecord;

/// A board that all players stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// All that production and clicks ever brought.
    LifetimeEnergy,
    /// The present rate.
    EnergyPerSecond,
    /// Lifetime energy gained since the season began.
    Season,
}

/// How many boards there are.
pub(super) const BOARDS: usize = 3;

impl Board {
    /// All of them.
    pub const ALL: [Self; BOARDS] = [Self::LifetimeEnergy, Self::EnergyPerSecond, Self::Season];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LifetimeEnergy => "lifetime_energy",
            Self::EnergyPerSecond => "energy_per_second",
            Self::Season => "season",
        }
    }

    /// The board of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|board| board.as_str() == name)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// A score for each board, in the order of [`Board::ALL`]. All are finite and none is negative.
pub(super) type Scores = [f64; BOARDS];

/// What is newer: the higher revision of the player's row, and of one revision the later reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) revision: i64,
    pub(super) at: Timestamp,
}

/// Where a player is to stand.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) player: Uuid,
    pub(super) stamp: Stamp,
    /// None takes the player off the boards.
    pub(super) place: Option<Place>,
}

/// What a player shows on the boards.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) scores: Scores,
}

impl Standing {
    /// Of a row, by the formula at `now`. Who is banned stands on no board.
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

    /// Of a player who was deleted: nothing that is published later brings it back.
    pub(super) fn deleted(player: Uuid, now: Timestamp) -> Self {
        Self { player, stamp: Stamp { revision: i64::MAX, at: now }, place: None }
    }
}

/// Standings reckoned together, no player twice.
#[derive(Clone, Debug)]
pub(super) struct Publication<'a> {
    /// The season that the scores of [`Board::Season`] are of.
    pub(super) season: Season,
    /// When they were reckoned.
    pub(super) as_of: Timestamp,
    pub(super) standings: &'a [Standing],
}

/// A part of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// When the newest scores of the board were reckoned.
    pub as_of: Timestamp,
    pub total_players: u64,
    /// From the best on, without gaps.
    pub entries: Vec<Entry>,
}

/// A player's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1 on. Equal scores share none: the older player comes first.
    pub rank: u64,
    pub player: Uuid,
    pub name: Arc<str>,
    pub score: f64,
}

/// A player among its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    pub rank: u64,
    pub score: f64,
    /// The neighbours, the player among them.
    pub list: List,
}

impl Surroundings {
    /// How many of the others stand below, in percent: 100 for the first, also where there are no others, 0 for the last.
    pub fn percentile(&self) -> f64 {
        let others = self.list.total_players.saturating_sub(1);
        if others == 0 {
            return 100.0;
        }
        self.list.total_players.saturating_sub(self.rank) as f64 / others as f64 * 100.0
    }
}

/// How the boards fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// When and in which season they were last rebuilt whole; none where they are not whole.
    pub(super) rebuilt: Option<(Timestamp, Season)>,
    /// Whether they are not whole because a part of them was lost.
    pub(super) is_damaged: bool,
}

/// The boards cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// They are not whole yet.
    #[error("the rankings are being built")]
    Incomplete,
    /// Redis is away.
    #[error("Redis: {0}")]
    Redis(#[from] crate::redis_client::Away),
    /// Another rebuild took over, a part of what was built is gone, or the boards were reset meanwhile.
    #[error("interrupted by another rebuild, by a loss in Redis or by a reset")]
    CutShort,
}
