//! Seasons, and the final standings of those that have ended.
//!
//! A season is a week from Monday 00:00 UTC, so no event is needed to start or end it. The first transaction that
//! writes a player's row in a later season also stores the player's final score. For players that were not written
//! since the end, the freeze calculates the score from the row by the same rules. Both ways give the same score, so the
//! result does not depend on when the freeze runs or how often it is restarted.
//!
//! The freeze is a job that starts half a minute after the end of the season. It claims the season for a minute at a
//! time, and one transaction ranks all scores and marks the season as frozen. At that time all commands that were
//! applied before the end are committed, because a lane applies a batch's commands again if more than ten seconds have
//! passed before the batch is sent. A season is frozen only once: the transaction locks the row of the season, and
//! scores that are added later are dropped.

use uuid::Uuid;

use super::board::{Board, Entry, List};
use super::{Error, Rankings};
use crate::domain::Season;
use crate::store::seasons::SeasonRecord;

/// Seconds after a season's end at which its final standings are created. A batch whose commands were applied before
/// the end is sent within ten seconds and committed some seconds later, so it is committed by then.
const GRACE_SECONDS: f64 = 30.0;

/// The lifetime of a claim on a season, in seconds. When it expires, another instance may continue the freeze.
const CLAIM_SECONDS: f64 = 60.0;

/// The number of rows that one query reads.
const READ_BATCH: i64 = 1000;

/// The state of a season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonState {
    Running,
    /// The season has ended, and its final standings do not exist yet.
    Closing,
    /// The final standings exist and contain this many players.
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
    fn overview(record: SeasonRecord, current: Season) -> SeasonOverview {
        let state = match record.ranked_players {
            Some(ranked_players) => SeasonState::Final { ranked_players },
            None if record.season < current => SeasonState::Closing,
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
        let current = Season::at(self.clock.now());
        let count = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let records = self.store.list_seasons(before, count).await?;
        let newest = records.first().map(|record| record.season);
        let mut seasons: Vec<_> =
            records.into_iter().map(|record| Self::overview(record, current)).collect();
        if before.is_none() && newest.is_none_or(|newest| newest < current) {
            // The current season has just started and is not stored yet.
            let running = SeasonOverview { season: current, state: SeasonState::Running };
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

    /// Stores the current season, and creates the final standings of all ended seasons that have none. Any number of
    /// instances may call this at the same time. If one crashes, another one continues its work.
    ///
    /// # Errors
    /// Returns an error if the database is unavailable. The next call continues.
    pub async fn freeze_due_seasons(&self) -> Result<Vec<Season>, Error> {
        let mut frozen = Vec::new();
        // A confirmed time is used, so that a jump of a clock cannot end a season.
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
            let rows = self.store.players_still_in(season, after, READ_BATCH).await?;
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
