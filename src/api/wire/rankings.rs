//! Responses of rankings and seasons.

use jiff::civil::{ISOWeekDate, Weekday};
use jiff::tz::Offset;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::rfc3339;
use crate::domain::{Season, Timestamp};
use crate::rankings::{Board, Entry, List, SeasonOverview, SeasonState, Standings, Surroundings};

/// The quantity by which players are ranked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Board)]
pub enum BoardWire {
    LifetimeEnergy,
    EnergyPerSecond,
    Season,
}

impl From<Board> for BoardWire {
    fn from(board: Board) -> Self {
        match board {
            Board::LifetimeEnergy => Self::LifetimeEnergy,
            Board::EnergyPerSecond => Self::EnergyPerSecond,
            Board::Season => Self::Season,
        }
    }
}

/// The board of a season; always `season`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SeasonBoard)]
pub enum SeasonBoardWire {
    Season,
}

/// A player's place on a board.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RankingEntry)]
pub struct RankingEntryWire {
    /// Starts at 1. Players with equal scores have different ranks: the older player comes first.
    pub rank: u64,
    pub player_id: Uuid,
    pub display_name: String,
    pub score: f64,
}

impl From<Entry> for RankingEntryWire {
    fn from(entry: Entry) -> Self {
        Self {
            rank: entry.rank,
            player_id: entry.player,
            display_name: entry.name.to_string(),
            score: entry.score,
        }
    }
}

fn entries(list: List) -> Vec<RankingEntryWire> {
    list.entries.into_iter().map(Into::into).collect()
}

/// A page of a board.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Rankings)]
pub struct RankingsWire {
    pub board: BoardWire,
    /// When the latest scores were calculated.
    #[schema(format = DateTime)]
    pub as_of: String,
    pub total_players: u64,
    /// Best first.
    pub entries: Vec<RankingEntryWire>,
    /// Whether the scores are out of date because a store is unavailable.
    pub stale: bool,
}

impl RankingsWire {
    pub fn new(board: Board, list: List) -> Self {
        Self {
            board: board.into(),
            as_of: rfc3339(list.as_of),
            total_players: list.total_players,
            entries: entries(list),
            stale: false,
        }
    }
}

/// A player's rank, and the players ranked next to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OwnRanking)]
pub struct OwnRankingWire {
    pub board: BoardWire,
    /// When the latest scores were calculated.
    #[schema(format = DateTime)]
    pub as_of: String,
    pub rank: u64,
    pub score: f64,
    /// The percentage of the other players that rank below: 100 for the first, 0 for the last, 100 for the only player.
    pub percentile: f64,
    /// The player and up to `around` players on each side, best first.
    pub entries: Vec<RankingEntryWire>,
}

impl OwnRankingWire {
    pub fn new(board: Board, found: Surroundings) -> Self {
        Self {
            board: board.into(),
            as_of: rfc3339(found.list.as_of),
            rank: found.rank,
            score: found.score,
            percentile: found.percentile(),
            entries: entries(found.list),
        }
    }
}

/// A season: one week from Monday 00:00 UTC to the next Monday.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Season)]
pub struct SeasonWire {
    /// The ISO week.
    #[schema(example = "2026-w02")]
    pub id: String,
    #[schema(format = DateTime)]
    pub starts_at: String,
    #[schema(format = DateTime)]
    pub ends_at: String,
    pub state: SeasonStateWire,
    /// The number of players in the final standings; null until they exist.
    #[schema(required)]
    pub ranked_players: Option<u64>,
}

/// The state of a season. It is `closing` from its end until its final standings exist, about half a minute later.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SeasonState)]
pub enum SeasonStateWire {
    Running,
    Closing,
    Final,
}

impl From<SeasonOverview> for SeasonWire {
    fn from(overview: SeasonOverview) -> Self {
        let (state, ranked_players) = match overview.state {
            SeasonState::Running => (SeasonStateWire::Running, None),
            SeasonState::Closing => (SeasonStateWire::Closing, None),
            SeasonState::Final { ranked_players } => (SeasonStateWire::Final, Some(ranked_players)),
        };
        Self {
            id: season_id(overview.season),
            starts_at: rfc3339(overview.season.starts_at()),
            ends_at: rfc3339(overview.season.ends_at()),
            state,
            ranked_players,
        }
    }
}

/// A page of a season's standings.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SeasonRankings)]
pub struct SeasonRankingsWire {
    #[schema(example = "2026-w02")]
    pub season: String,
    pub board: SeasonBoardWire,
    /// Whether the standings are final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// When the latest scores were calculated; for final standings the end of the season.
    #[schema(format = DateTime)]
    pub as_of: String,
    /// The number of ranked players. In final standings it includes players who were deleted since; their entries are
    /// missing.
    pub total_players: u64,
    /// Best first.
    pub entries: Vec<RankingEntryWire>,
    /// Whether the scores are out of date because a store is unavailable.
    pub stale: bool,
}

impl SeasonRankingsWire {
    pub fn new(season: Season, standings: Standings) -> Self {
        Self {
            season: season_id(season),
            board: SeasonBoardWire::Season,
            is_final: standings.is_final,
            as_of: rfc3339(standings.list.as_of),
            total_players: standings.list.total_players,
            entries: entries(standings.list),
            stale: false,
        }
    }
}

/// The id of a season: its ISO week, such as `2026-w02`.
pub fn season_id(season: Season) -> String {
    // Seasons outside the range that the calendar library supports get the id of its first or last week.
    let edge = if season.number() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let start = jiff::Timestamp::from_microsecond(season.starts_at().as_micros()).unwrap_or(edge);
    let week = Offset::UTC.to_datetime(start).date().iso_week_date();
    format!("{:04}-w{:02}", week.year(), week.week())
}

/// The season with this id; `None` if the id is invalid.
pub fn season_of_id(id: &str) -> Option<Season> {
    let (year, week) = id.split_once("-w")?;
    let week = ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?;
    let start = Offset::UTC.to_timestamp(week.date().to_datetime(jiff::civil::Time::midnight()));
    let season = Season::at(Timestamp::from_micros(start.ok()?.as_microsecond()));
    (season_id(season) == id).then_some(season)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_id_is_its_iso_week() {
        let season = |micros| Season::at(Timestamp::from_micros(micros));
        // Mondays: 2026-01-05, 2026-12-28 (in a year with 53 weeks) and 2025-12-29.
        for (micros, id) in [
            (1_767_571_200_000_000, "2026-w02"),
            (1_798_416_000_000_000, "2026-w53"),
            (1_766_966_400_000_000, "2026-w01"),
        ] {
            assert_eq!(season_id(season(micros)), id);
            assert_eq!(season_of_id(id), Some(season(micros)));
        }
        for id in
            ["", "2026", "2026-w2", "2026-W02", "2026-w54", "2026-w00", "026-w02", "+2026-w02"]
        {
            assert_eq!(season_of_id(id), None, "{id}");
        }
        for number in -2000..5000 {
            let season = Season::from_number(number);
            assert_eq!(season_of_id(&season_id(season)), Some(season));
        }
    }
}
