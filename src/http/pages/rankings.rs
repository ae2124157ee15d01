//! Pages of boards and of seasons' standings.

use super::ready::ReadyPages;
use crate::domain::Season;
use crate::rankings::Board;

/// The pages of boards and seasons.
pub type RankingsPages = ReadyPages<PageKey>;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    pub list: ListKey,
    pub offset: usize,
    pub limit: usize,
}

/// Of which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKey {
    Board(Board),
    /// While it runs and afterwards are two lists.
    Season {
        season: Season,
        running: bool,
    },
}
