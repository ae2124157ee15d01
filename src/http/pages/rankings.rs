//! The cache of pages of boards and of season standings.

use super::ready::ReadyPages;
use crate::domain::Season;
use crate::rankings::Board;

/// The pages of boards and seasons.
pub type RankingsPages = ReadyPages<PageKey>;

/// Identifies a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    pub list: ListKey,
    pub offset: usize,
    pub limit: usize,
}

/// The list of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKey {
    Board(Board),
    /// The standings of a running season and its final standings are different lists.
    Season {
        season: Season,
        running: bool,
    },
}
