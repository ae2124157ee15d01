//! The boards in the memory of the process.
//!
//! Each board is an `Order`. The crate `indexset` offers the same operations, but it rebuilds its index at each split.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use uuid::Uuid;

use super::board::{
    BOARDS, Board, Entry, List, Place, Publication, Scores, Stamp, Standing, Status, Surroundings,
    Unavailable,
};
use super::order::Order;
use crate::domain::{Season, Timestamp};

/// The number of standings that are written under one lock, which bounds how long readers wait.
const WRITE_BATCH: usize = 128;

/// Seconds for which removed players are kept as tombstones. No instance publishes older standings.
const TOMBSTONE_SECONDS: f64 = 3600.0;

/// A member of a board. Members are ordered by descending score; members with equal scores by descending age of the
/// player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The inverted bits of the score. Non-negative doubles have the same order as their bits, so the inverted bits
    /// sort in descending order.
    inverted: u64,
    /// A UUID of version 7: a smaller id is older.
    player: Uuid,
}

impl Member {
    fn new(player: Uuid, score: f64) -> Self {
        // Adding 0 turns -0 into 0, because -0 has different bits.
        Self { inverted: !(score + 0.0).to_bits(), player }
    }

    fn score(self) -> f64 {
        f64::from_bits(!self.inverted)
    }
}

/// The stored data of a player.
#[derive(Debug)]
struct Ranked {
    stamp: Stamp,
    /// The number of the latest rebuild when the player was last written.
    rebuild: u64,
    /// `None` for a removed player (a tombstone).
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
    /// The number of rebuilds that were started.
    rebuild: u64,
    /// How often everything was discarded because the database was reverted to an earlier state.
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
            rebuild: 0,
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

    /// Discards everything and starts a new era: standings of the previous era are no longer accepted.
    pub(super) fn begin_era(&self) {
        self.empty(1);
    }

    fn empty(&self, eras: u64) {
        let discarded = {
            let mut boards = self.write();
            let (rebuild, era) = (boards.rebuild + 1, boards.era + eras);
            std::mem::replace(&mut *boards, Boards { rebuild, era, ..Boards::default() })
        };
        // Freeing a million players takes time, so it happens without the lock.
        drop(discarded);
    }

    /// The number of the current era.
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
        for standings in publication.standings.chunks(WRITE_BATCH) {
            let mut boards = self.write_in(era)?;
            boards.start_season(publication.season);
            for standing in standings {
                boards.put(standing, publication.season);
            }
        }
        let mut boards = self.write_in(era)?;
        boards.start_season(publication.season);
        boards.as_of = boards.as_of.max(publication.as_of);
        Ok(Status { rebuilt: boards.rebuilt, is_damaged: false })
    }

    fn write_in(&self, era: u64) -> Result<RwLockWriteGuard<'_, Boards>, Unavailable> {
        let boards = self.write();
        if boards.era == era { Ok(boards) } else { Err(Unavailable::Interrupted) }
    }

    /// Starts a rebuild and returns its number. Players that are written from now on are kept when it ends.
    pub(super) fn begin(&self) -> u64 {
        let mut boards = self.write();
        boards.rebuild += 1;
        boards.rebuild
    }

    /// Ends a rebuild: removes players that were not written since it began, because they are no longer in the
    /// database.
    pub(super) fn finish(
        &self,
        rebuild: u64,
        season: Season,
        began: Timestamp,
    ) -> Result<(), Unavailable> {
        let gone: Vec<Uuid> = {
            let boards = self.read();
            let gone = |ranked: &Ranked| {
                ranked.rebuild < boards.rebuild
                    && (ranked.place.is_some()
                        || began.seconds_since(ranked.stamp.at) > TOMBSTONE_SECONDS)
            };
            let all = boards.players.iter();
            all.filter(|(_, ranked)| gone(ranked)).map(|(player, _)| *player).collect()
        };
        for players in gone.chunks(WRITE_BATCH) {
            let mut boards = self.write();
            for player in players {
                // Check again, because the player may have been written after the first check.
                if boards.players.get(player).is_some_and(|ranked| ranked.rebuild < boards.rebuild)
                {
                    boards.remove(*player);
                }
            }
        }
        let mut boards = self.write();
        if boards.rebuild != rebuild {
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

    /// A player and up to `around` players on each side; `None` if the player is not on the board.
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
    /// Empties the season board if `season` is later than its season.
    fn start_season(&mut self, season: Season) {
        if season > self.season {
            self.season = season;
            self.orders[Board::Season.index()] = Order::default();
        }
    }

    /// The boards that contain the player, each with the player's member.
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
        let known = self.players.get(&player);
        if known.is_some_and(|known| known.stamp > standing.stamp) {
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
        let ranked = Ranked { stamp: standing.stamp, rebuild: self.rebuild, place, season };
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

/// The members for a player's scores. The season score is included only if it belongs to the board's season.
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
