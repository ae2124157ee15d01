//! Seasons: which there are, final scores as they come in, and final standings.

use std::sync::LazyLock;
use std::time::Duration;

use uuid::Uuid;

use super::error::Error;
use super::player_columns;
use super::players::{PlayerRecord, decode};
use super::pool::{Store, Transaction};
use crate::domain::{Season, Timestamp};

/// How long ranking all players may take; Postgres is told the same in `hold.sql`.
const RANKING_LIMIT: Duration = Duration::from_mins(10);

static PLAYERS_STILL_IN: LazyLock<String> = LazyLock::new(|| {
    player_columns::expand(include_str!("../../sql/queries/seasons/players_still_in.sql"))
});

/// A season as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonRecord {
    pub season: Season,
    /// How many players its final standings rank; none before they are made.
    pub ranked_players: Option<u64>,
}

/// A line of final standings.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingRecord {
    pub rank: u64,
    pub player: Uuid,
    /// The present one.
    pub display_name: String,
    pub score: f64,
}

impl Store {
    /// Notes all seasons from the first that was ever noted up to `present`.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn note_seasons(&self, present: Season) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/note.sql");
        self.execute(sql, &[&present.number()]).await.map(drop)
    }

    /// Up to `limit` seasons before `before`, newest first.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn list_seasons(
        &self,
        before: Option<Season>,
        limit: i64,
    ) -> Result<Vec<SeasonRecord>, Error> {
        let sql = include_str!("../../sql/queries/seasons/list.sql");
        let before = before.map(Season::number);
        self.query(sql, &[&before, &limit]).await?.iter().map(season).collect()
    }

    /// A season, where it is known.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn find_season(&self, wanted: Season) -> Result<Option<SeasonRecord>, Error> {
        let sql = include_str!("../../sql/queries/seasons/find.sql");
        self.query_opt(sql, &[&wanted.number()]).await?.as_ref().map(season).transpose()
    }

    /// The oldest season that ended before `now` and is not frozen and that nobody is at work on, claimed until `until`.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Holds a claim for longer.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn extend_claim(&self, season: Season, until: Timestamp) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/extend_claim.sql");
        self.execute(sql, &[&season.number(), &until]).await.map(drop)
    }

    /// The rows of up to `limit` players after `after` that have not left `season` and whose final score is not known.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Writes final scores. Those that are there already stay.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn add_final_scores(
        &self,
        season: Season,
        players: &[Uuid],
        scores: &[f64],
    ) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/seasons/add_scores.sql");
        self.execute(sql, &[&season.number(), &players, &scores]).await.map(drop)
    }

    /// Makes the final standings of a season of its final scores, unless they are made. Returns how many they rank.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn freeze_season(
        &self,
        season: Season,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let mut transaction = self.patient(RANKING_LIMIT).begin().await?;
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

    /// The lines of final standings whose rank is above `offset`, up to rank `offset + limit`. Who was deleted or banned
    /// since is left out.
    ///
    /// # Errors
    /// As every statement's.
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

/// What a player reached in a season.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeasonResult {
    pub season: Season,
    /// None before the standings are final.
    pub rank: Option<u64>,
    pub score: f64,
}

impl Store {
    /// What a player reached in the seasons that it has left, newest first.
    ///
    /// # Errors
    /// As every statement's.
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
