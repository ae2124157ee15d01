//! Seasons, the final scores of players who leave a season, and final standings.

use std::sync::LazyLock;
use std::time::Duration;

use uuid::Uuid;

use super::error::Error;
use super::player_columns;
use super::players::{PlayerRecord, decode};
use super::pool::{Store, Transaction};
use crate::domain::{Season, Timestamp};

/// Time-out for ranking all players. `hold.sql` sets the same `statement_timeout` in Postgres.
const RANKING_LIMIT: Duration = Duration::from_mins(10);

static PLAYERS_STILL_IN: LazyLock<String> = LazyLock::new(|| {
    player_columns::expand(include_str!("../../sql/queries/seasons/players_still_in.sql"))
});

/// A stored season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonRecord {
    pub season: Season,
    /// How many players the final standings rank; `None` before they are made.
    pub ranked_players: Option<u64>,
}

/// An entry of final standings.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingRecord {
    pub rank: u64,
    pub player: Uuid,
    /// The current display name, not that at the end of the season.
    pub display_name: String,
    pub score: f64,
}

impl Store {
    /// Inserts the seasons after the last stored one up to `current`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_seasons(&self, current: Season) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/note.sql");
        self.execute(sql, &[&current.number()]).await.map(drop)
    }

    /// Up to `limit` seasons before `before`, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_seasons(
        &self,
        before: Option<Season>,
        limit: i64,
    ) -> Result<Vec<SeasonRecord>, Error> {
        let sql = include_str!("../../sql/queries/seasons/list.sql");
        let before = before.map(Season::number);
        self.query(sql, &[&before, &limit]).await?.iter().map(season).collect()
    }

    /// A season, if it is stored.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_season(&self, wanted: Season) -> Result<Option<SeasonRecord>, Error> {
        let sql = include_str!("../../sql/queries/seasons/find.sql");
        self.query_opt(sql, &[&wanted.number()]).await?.as_ref().map(season).transpose()
    }

    /// Claims, until `until`, the oldest season that ended by `ended_by`, has no final standings yet, and is not
    /// claimed at `now`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn claim_season(
        &self,
        ended_by: Timestamp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Season>, Error> {
        let sql = include_str!("../../sql/queries/seasons/claim.sql");
        let row = self.query_opt(sql, &[&ended_by, &now, &until]).await?;
        row.map(|row| Ok(Season::from_number(row.try_get("season")?))).transpose()
    }

    /// Extends a claim to `until`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn extend_claim(&self, season: Season, until: Timestamp) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/extend_claim.sql");
        self.execute(sql, &[&season.number(), &until]).await.map(drop)
    }

    /// The rows of up to `limit` players after `after`, in the order of ids, that have not left `season` and whose
    /// final score is not stored.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn players_still_in(
        &self,
        season: Season,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<PlayerRecord>, Error> {
        self.query(&PLAYERS_STILL_IN, &[&season.number(), &after, &limit])
            .await?
            .iter()
            .map(decode)
            .collect()
    }

    /// Stores final scores. Scores that are stored already are not replaced.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn add_final_scores(
        &self,
        season: Season,
        players: &[Uuid],
        scores: &[f64],
    ) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/add_scores.sql");
        self.execute(sql, &[&season.number(), &players, &scores]).await.map(drop)
    }

    /// Ranks the final scores of a season and stores the standings. Returns how many players they rank, or `None` if
    /// the standings exist already.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn freeze_season(
        &self,
        season: Season,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let mut transaction = self.with_statement_timeout(RANKING_LIMIT).begin().await?;
        let number = season.number();
        let hold = include_str!("../../sql/queries/seasons/hold.sql");
        if transaction.query(hold, &[&number]).await?.is_empty() {
            transaction.rollback().await?;
            return Ok(None);
        }
        let ranked = transaction.rank(season, now).await?;
        transaction.commit().await?;
        Ok(Some(ranked))
    }

    /// The entries of final standings with ranks from `offset + 1` to `offset + limit`. Players who were deleted or
    /// banned afterwards are omitted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn final_standings(
        &self,
        season: Season,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<StandingRecord>, Error> {
        let sql = include_str!("../../sql/queries/seasons/standings.sql");
        let last = offset.saturating_add(limit);
        let rows = self.query(sql, &[&season.number(), &offset, &last]).await?;
        rows.iter()
            .map(|row| {
                Ok(StandingRecord {
                    rank: row.try_get::<_, i64>("rank")?.unsigned_abs(),
                    player: row.try_get("player_id")?,
                    display_name: row.try_get("display_name")?,
                    score: row.try_get("score")?,
                })
            })
            .collect()
    }
}

/// A player's result in a season.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeasonResult {
    pub season: Season,
    /// `None` before the final standings are stored.
    pub rank: Option<u64>,
    pub score: f64,
}

impl Store {
    /// A player's results in the seasons that it has left, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn season_results_of(&self, player: Uuid) -> Result<Vec<SeasonResult>, Error> {
        let sql = include_str!("../../sql/queries/seasons/results_of_player.sql");
        let rows = self.query(sql, &[&player]).await?;
        rows.iter()
            .map(|row| {
                Ok(SeasonResult {
                    season: Season::from_number(row.try_get("season")?),
                    rank: row.try_get::<_, Option<i64>>("rank")?.map(i64::unsigned_abs),
                    score: row.try_get("score")?,
                })
            })
            .collect()
    }
}

impl Transaction {
    async fn rank(&mut self, season: Season, now: Timestamp) -> Result<u64, Error> {
        let sql = include_str!("../../sql/queries/seasons/freeze.sql");
        let rows = self.query(sql, &[&season.number(), &now]).await?;
        let row = rows.first().ok_or_else(|| Error::Corrupt("no count of ranks".into()))?;
        Ok(row.try_get::<_, i64>("ranked_players")?.unsigned_abs())
    }
}

fn season(row: &tokio_postgres::Row) -> Result<SeasonRecord, Error> {
    let ranked: Option<i64> = row.try_get("ranked_players")?;
    Ok(SeasonRecord {
        season: Season::from_number(row.try_get("season")?),
        ranked_players: ranked.map(i64::unsigned_abs),
    })
}
