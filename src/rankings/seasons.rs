//! Seasons, and the final standings of those that have ended.
//!
//! Seasons are the weeks from Monday 00:00 UTC, so they begin and end without an event. The first transaction that
//! writes a row of a later season also stores the player's final score. For players that were not written since, the
//! freeze calculates the score from the row by the same rules. Both give the same score, so it does not matter when the
//! freeze happens or how often it begins.
//!
//! The freeze is a job that begins half a minute after the end. It claims the season for a minute at a time, and one
//! transaction ranks all scores and marks the season as frozen. That cannot be too early: a batch that was folded more
//! than ten seconds before it is sent is folded again, so everything that was played before the end is committed by
//! then. It happens once: the row of the season is locked, and scores that arrive later find it frozen and are dropped.

use uuid::Uuid;

use super::board::{Board, Entry, List};
use super::{Error, Rankings};
use crate::domain::Season;
use crate::store::seasons::SeasonRecord;

/// Seconds after a season's end at which its final standings are made. A batch whose commands were applied before the
/// end may take up to ten seconds to be sent and some more to be committed; all of them are committed by then.
const GRACE_SECONDS: f64 = 30.0;

/// Seconds after the last sign of life of an instance until another one may continue its work on a season.
const CLAIM_SECONDS: f64 = 60.0;

/// Rows that one query reads.
const READ_AT_ONCE: i64 = 1000;

/// The state of a season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonState {
    Running,
    /// It has ended, and its final standings do not exist yet.
    Closing,
    /// Its final standings rank this many players.
    Final {
        ranked_players: u64,
    },
}

/// A season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonOverview {
    pub season: Season,
    pub state: SeasonState,
}

/// A page of a season's standings.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings {
    pub list: List,
    /// Whether the standings are final.
    pub is_final: bool,
}

impl Rankings {
    fn overview(record: SeasonRecord, present: Season) -> SeasonOverview {
        let state = match record.ranked_players {
            Some(ranked_players) => SeasonState::Final { ranked_players },
            None if record.season < present => SeasonState::Closing,
            None => SeasonState::Running,
        };
        SeasonOverview { season: record.season, state }
    }

    /// Up to `limit` seasons before `before`, newest first, and whether there are more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn seasons(
        &self,
        before: Option<Season>,
        limit: usize,
    ) -> Result<(Vec<SeasonOverview>, bool), Error> {
        let present = Season::at(self.clock.now());
        let asked = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let records = self.store.list_seasons(before, asked).await?;
        let newest = records.first().map(|record| record.season);
        let mut seasons: Vec<_> =
            records.into_iter().map(|record| Self::overview(record, present)).collect();
        if before.is_none() && newest.is_none_or(|newest| newest < present) {
            // The season has just begun.
            let running = SeasonOverview { season: present, state: SeasonState::Running };
            seasons.insert(0, running);
        }
        let more = seasons.len() > limit;
        seasons.truncate(limit);
        Ok((seasons, more))
    }

    /// A page of a season's standings: the board of the running season, the final standings of earlier ones.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchSeason`], [`Error::Closing`] or [`Error::Unavailable`].
    pub async fn standings(
        &self,
        season: Season,
        offset: usize,
        limit: usize,
    ) -> Result<Standings, Error> {
        if season == Season::at(self.clock.now()) {
            let list = self.page(Board::Season, offset, limit).await?;
            return Ok(Standings { list, is_final: false });
        }
        let record = self.store.find_season(season).await?.ok_or(Error::NoSuchSeason)?;
        let total_players = record.ranked_players.ok_or(Error::Closing)?;
        let position = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = self
            .store
            .final_standings(season, position(offset), position(limit))
            .await?
            .into_iter();
        let entries = rows.map(|row| Entry {
            rank: row.rank,
            player: row.player,
            name: row.display_name.into(),
            score: row.score,
        });
        let list = List { as_of: season.ends_at(), total_players, entries: entries.collect() };
        Ok(Standings { list, is_final: true })
    }

    /// Stores the present season, and makes the final standings of all seasons that have ended and have none. Any
    /// number of instances may do so at the same time, and any of them may crash: another one continues, and finished
    /// work stays.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable; the next call does the rest.
    pub async fn freeze_due_seasons(&self) -> Result<Vec<Season>, Error> {
        let mut frozen = Vec::new();
        // A jump of a clock must not end a season.
        let (_, now) = self.catalogues.confirmed_timeline()?;
        self.store.note_seasons(Season::at(now)).await?;
        loop {
            let (_, now) = self.catalogues.confirmed_timeline()?;
            let (ended_by, until) =
                (now.plus_seconds(-GRACE_SECONDS), now.plus_seconds(CLAIM_SECONDS));
            let Some(season) = self.store.claim_season(ended_by, now, until).await? else {
                return Ok(frozen);
            };
            self.finish_scores(season).await?;
            if let Some(players) = self.store.freeze_season(season, self.clock.now()).await? {
                tracing::info!(season = season.number(), players, "a season's standings are final");
                frozen.push(season);
            }
        }
    }

    /// Stores the final scores of all players that were not written since the season's end.
    async fn finish_scores(&self, season: Season) -> Result<(), Error> {
        let mut after = Uuid::nil();
        loop {
            let rows = self.store.players_still_in(season, after, READ_AT_ONCE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            let (timeline, _) = self.catalogues.confirmed_timeline()?;
            let (mut players, mut scores) = (Vec::new(), Vec::new());
            for row in &rows {
                if let Some((_, score)) =
                    row.player.finished_seasons(&timeline, season.next()).last()
                {
                    players.push(row.id);
                    scores.push(score);
                }
            }
            self.store.add_final_scores(season, &players, &scores).await?;
            let until = self.clock.now().plus_seconds(CLAIM_SECONDS);
            self.store.extend_claim(season, until).await?;
        }
    }
}
