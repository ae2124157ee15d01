//! The boards in the memory of the process.
//!
//! Each board is an `Order`. The crate `indexset` offers the same operations, but its index is built anew at each
//! split.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use uuid::Uuid;

use super::board::{
    BOARDS, Board, Entry, List, Place, Publication, Scores, Stamp, Standing, Status, Surroundings,
    Unavailable,
};
use super::order::Order;
use crate::domain::{Season, Timestamp};

/// Standings that are written under one lock. Readers wait for no more than that.
const WRITTEN_AT_ONCE: usize = 128;

/// Seconds for which it is remembered that a player was removed. No older standings are published.
const TOMBSTONE_SECONDS: f64 = 3600.0;

/// A member of a board. Members are ordered from the best score down; equal scores from the older player to the
/// younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The inverted bits of the score. For non-negative doubles, the order of the bits is that of the numbers.
    inverted: u64,
    /// A UUID of version 7: a smaller id is older.
    player: Uuid,
}

impl Member {
    fn new(player: Uuid, score: f64) -> Self {
        // Adding 0 turns -0 into 0, which has other bits.
        Self { inverted: !(score + 0.0).to_bits(), player }
    }

    fn score(self) -> f64 {
        f64::from_bits(!self.inverted)
    }
}

/// What is known of a player.
#[derive(Debug)]
struct Ranked {
    stamp: Stamp,
    /// The rebuild in or after which the player was last written.
    pass: u64,
    /// `None` for a player who was removed.
    place: Option<Place>,
    /// The season of the score on [`Board::Season`].
    season: Season,
}

#[derive(Debug)]
struct Boards {
    players: HashMap<Uuid, Ranked>,
    orders: [Order<Member>; BOARDS],
    /// The season of [`Board::Season`].
    season: Season,
    as_of: Timestamp,
    /// Counts the rebuilds.
    pass: u64,
    /// Counts how often everything was discarded because the database went back to an earlier state.
    era: u64,
    rebuilt: Option<(Timestamp, Season)>,
}

impl Default for Boards {
    fn default() -> Self {
        Self {
            players: HashMap::new(),
            orders: Default::default(),
            season: Season::from_number(i64::MIN),
            as_of: Timestamp::from_micros(0),
            pass: 0,
            era: 0,
            rebuilt: None,
        }
    }
}

/// The boards of one process.
#[derive(Debug, Default)]
pub(super) struct Local(RwLock<Boards>);

impl Local {
    fn read(&self) -> RwLockReadGuard<'_, Boards> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Boards> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Discards everything. A rebuild in progress fails.
    pub(super) fn clear(&self) {
        self.empty(0);
    }

    /// Discards everything and begins a new era: standings of the present era are no longer accepted.
    pub(super) fn begin_era(&self) {
        self.empty(1);
    }

    fn empty(&self, eras: u64) {
        let forgotten = {
            let mut boards = self.write();
            let (pass, era) = (boards.pass + 1, boards.era + eras);
            std::mem::replace(&mut *boards, Boards { pass, era, ..Boards::default() })
        };
        // Freed without the lock, because a million players take a while.
        drop(forgotten);
    }

    /// The number of the present era.
    pub(super) fn era(&self) -> u64 {
        self.read().era
    }

    pub(super) fn status(&self) -> Status {
        Status { rebuilt: self.read().rebuilt, is_damaged: false }
    }

    /// Writes standings whose rows were read in `era`, unless there are newer ones.
    ///
    /// # Errors
    /// Returns [`Unavailable::Interrupted`] if that era is over.
    pub(super) fn publish(
        &self,
        publication: &Publication<'_>,
        era: u64,
    ) -> Result<Status, Unavailable> {
        for standings in publication.standings.chunks(WRITTEN_AT_ONCE) {
            let mut boards = self.write_in(era)?;
            boards.enter(publication.season);
            for standing in standings {
                boards.put(standing, publication.season);
            }
        }
        let mut boards = self.write_in(era)?;
        boards.enter(publication.season);
        boards.as_of = boards.as_of.max(publication.as_of);
        Ok(Status { rebuilt: boards.rebuilt, is_damaged: false })
    }

    fn write_in(&self, era: u64) -> Result<RwLockWriteGuard<'_, Boards>, Unavailable> {
        let boards = self.write();
        if boards.era == era { Ok(boards) } else { Err(Unavailable::Interrupted) }
    }

    /// Begins a rebuild and returns its number. What is written from now on is kept when it ends.
    pub(super) fn begin(&self) -> u64 {
        let mut boards = self.write();
        boards.pass += 1;
        boards.pass
    }

    /// Ends a rebuild: players who were not written since it began are not in the database any more.
    pub(super) fn finish(
        &self,
        pass: u64,
        season: Season,
        began: Timestamp,
    ) -> Result<(), Unavailable> {
        let gone: Vec<Uuid> = {
            let boards = self.read();
            let gone = |ranked: &Ranked| {
                ranked.pass < boards.pass
                    && (ranked.place.is_some()
                        || began.seconds_since(ranked.stamp.at) > TOMBSTONE_SECONDS)
            };
            let all = boards.players.iter();
            all.filter(|(_, ranked)| gone(ranked)).map(|(player, _)| *player).collect()
        };
        for players in gone.chunks(WRITTEN_AT_ONCE) {
            let mut boards = self.write();
            for player in players {
                // The player may have been written since it was checked.
                if boards.players.get(player).is_some_and(|ranked| ranked.pass < boards.pass) {
                    boards.remove(*player);
                }
            }
        }
        let mut boards = self.write();
        if boards.pass != pass {
            return Err(Unavailable::Interrupted);
        }
        boards.rebuilt = Some((began, season));
        boards.as_of = boards.as_of.max(began);
        Ok(())
    }

    /// A page of a board.
    pub(super) fn page(
        &self,
        board: Board,
        offset: usize,
        limit: usize,
    ) -> Result<List, Unavailable> {
        let boards = self.read();
        boards.rebuilt.ok_or(Unavailable::Incomplete)?;
        Ok(boards.list(board, offset, limit))
    }

    /// A player and up to `around` neighbours on each side; `None` if the player is not on the board.
    pub(super) fn surroundings(
        &self,
        board: Board,
        player: Uuid,
        around: usize,
    ) -> Result<Option<Surroundings>, Unavailable> {
        let boards = self.read();
        boards.rebuilt.ok_or(Unavailable::Incomplete)?;
        let Some(member) = boards.member(board, player) else { return Ok(None) };
        let position = boards.orders[board.index()].position(member);
        Ok(position.map(|position| {
            let first = position.saturating_sub(around);
            Surroundings {
                rank: position as u64 + 1,
                score: member.score(),
                list: boards.list(board, first, position + around + 1 - first),
            }
        }))
    }
}

impl Boards {
    /// Begins the board of a new season.
    fn enter(&mut self, season: Season) {
        if season > self.season {
            self.season = season;
            self.orders[Board::Season.index()] = Order::default();
        }
    }

    /// The scores of a player and their boards.
    fn members(&self, player: Uuid) -> impl Iterator<Item = (Board, Member)> + use<> {
        let ranked = self.players.get(&player);
        let place = ranked.and_then(|ranked| Some((ranked.place.as_ref()?.scores, ranked.season)));
        let season = self.season;
        place.into_iter().flat_map(move |(scores, of)| on_boards(player, scores, of == season))
    }

    fn member(&self, board: Board, player: Uuid) -> Option<Member> {
        self.members(player).find(|(on, _)| *on == board).map(|(_, member)| member)
    }

    fn put(&mut self, standing: &Standing, season: Season) {
        let player = standing.player;
        let held = self.players.get(&player);
        if held.is_some_and(|held| held.stamp > standing.stamp) {
            return;
        }
        let old: Vec<_> = self.members(player).collect();
        let scores = standing.place.as_ref().map(|place| place.scores);
        let new = scores.into_iter();
        let new: Vec<_> =
            new.flat_map(|scores| on_boards(player, scores, season == self.season)).collect();
        for (board, member) in &old {
            if !new.contains(&(*board, *member)) {
                self.orders[board.index()].remove(*member);
            }
        }
        for (board, member) in new {
            self.orders[board.index()].insert(member);
        }
        let place = standing.place.clone();
        let ranked = Ranked { stamp: standing.stamp, pass: self.pass, place, season };
        self.players.insert(player, ranked);
    }

    fn remove(&mut self, player: Uuid) {
        let members: Vec<_> = self.members(player).collect();
        for (board, member) in members {
            self.orders[board.index()].remove(member);
        }
        self.players.remove(&player);
    }

    fn list(&self, board: Board, offset: usize, limit: usize) -> List {
        let order = &self.orders[board.index()];
        let name = |player: &Uuid| -> Arc<str> {
            let place = self.players.get(player).and_then(|ranked| ranked.place.as_ref());
            place.map_or_else(|| "".into(), |place| Arc::clone(&place.name))
        };
        let entries = (offset as u64 + 1..).zip(order.from(offset).take(limit));
        let entries = entries.map(|(rank, member)| Entry {
            rank,
            player: member.player,
            name: name(&member.player),
            score: member.score(),
        });
        List { as_of: self.as_of, total_players: order.len() as u64, entries: entries.collect() }
    }
}

/// The members for a player's scores. The score of a season is included only if it is the board's season.
fn on_boards(
    player: Uuid,
    scores: Scores,
    in_season: bool,
) -> impl Iterator<Item = (Board, Member)> {
    let boards = Board::ALL.into_iter().filter(move |board| in_season || *board != Board::Season);
    boards.map(move |board| (board, Member::new(player, scores[board.index()])))
}

#[cfg(test)]
mod tests;
