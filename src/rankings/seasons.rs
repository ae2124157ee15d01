//! Seasons: which there are, and the final standings of those that are over.
//!
//! A player's final score is written by whoever first writes a row of a later season, in the same transaction. Of the
//! players whom nobody has written since, the freeze reckons it, from the row and by the same rules. Which of the two it
//! was makes no difference, so it does not matter when the freeze comes, or how often it is begun.

use uuid::Uuid;

use super::board::{Board, Entry, List};
use super::{Error, Rankings};
use crate::domain::Season;
use crate::store::seasons::SeasonRecord;

/// How long after a season's end, in seconds, its final standings are made. A batch that was folded before the end may
/// take up to ten seconds to be sent and then some more to be committed; all of it is there by then.
const GRACE_SECONDS: f64 = 30.0;

/// How long, in seconds, nobody else works on a season after a sign of life of whoever does.
const CLAIM_SECONDS: f64 = 60.0;

/// Rows read at once.
const READ_AT_ONCE: i64 = 1000;

/// How a season fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonState {
    Running,
    /// It has ended, and its final standings are not made yet.
    Closing,
    /// Its final standings rank so many players.
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

/// A part of a season's standings.
#[derive(Clone, Debug, PartialEq)]
pub struct Standings {
    pub list: List,
    /// Whether they do not change any more.
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
            // It has begun just now.
            let running = SeasonOverview { season: present, state: SeasonState::Running };
            seasons.insert(0, running);
        }
        let more = seasons.len() > limit;
        seasons.truncate(limit);
        Ok((seasons, more))
    }

    /// A part of a season's standings: the board of the present one, the final ones of those before.
    ///
    /// # Errors
    /// [`Error::NoSuchSeason`], [`Error::Closing`] or [`Error::Unavailable`].
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

    /// Notes the present season, and makes the final standings of all that have ended and have none. Any number of
    /// instances may try at once, and any may die of it: another takes over, and what was done stays.
    ///
    /// # Errors
    /// Where the database is away; the rest is done with the next call.
    pub async fn freeze_due_seasons(&self) -> Result<Vec<Season>, Error> {
        let mut frozen = Vec::new();
        // A season must not end because some clock jumps.
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

    /// Writes the final scores of all players who have none, as nobody has written them since the season's end.
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
