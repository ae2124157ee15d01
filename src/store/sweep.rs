//! Settles absent players in bulk: stores the energy that they have produced.

use serde_json::Value;
use uuid::Uuid;

use super::commit::signed;
use super::error::Error;
use super::jobs::Lease;
use super::players::PlayerRecord;
use super::pool::Store;
use crate::domain::{Season, Timestamp};

/// The parameters of a sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepTime {
    pub now: Timestamp,
    /// Players who were last seen before this time count as absent.
    pub unseen_since: Timestamp,
    /// The version of the catalogue in force at `now`.
    pub catalogue_version: u64,
}

/// A player to settle.
#[derive(Clone, Copy, Debug)]
pub struct AbsentPlayer {
    pub id: Uuid,
    /// Whether a SQL statement can settle the player, because its production has not changed since the last settle.
    /// Otherwise the rules in `domain` settle it.
    pub plain: bool,
}

/// A player that the rules in `domain` have settled.
#[derive(Clone, Debug)]
pub struct SettledPlayer {
    /// The settled row. Its revision is still that of the row before.
    pub record: PlayerRecord,
    /// Energy per second after the settle, under the record's catalogue.
    pub energy_per_second: f64,
    pub accrues_until: Timestamp,
    /// The final scores of the seasons that the player has left.
    pub finished: Vec<(Season, f64)>,
}

impl Store {
    /// Up to `limit` absent players after `after`, in the order of ids, who have produced energy that is not in their
    /// rows yet.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_absent(
        &self,
        after: Uuid,
        time: &SweepTime,
        limit: i64,
    ) -> Result<Vec<AbsentPlayer>, Error> {
        let sql = include_str!("../../sql/queries/sweep/find_absent.sql");
        let SweepTime { now, unseen_since, catalogue_version } = time;
        let version = signed(*catalogue_version);
        let rows = self.query(sql, &[&after, unseen_since, now, &version, &limit]).await?;
        let decode = |row: &tokio_postgres::Row| {
            Ok(AbsentPlayer { id: row.try_get("player_id")?, plain: row.try_get("plain")? })
        };
        rows.iter().map(decode).collect()
    }

    /// Settles those of the `players` that are [plain](AbsentPlayer::plain) and still absent, and stores the sweep's
    /// progress, in one statement. Returns how many were settled. If the job's lease was lost, changes nothing and
    /// returns `None`.
    ///
    /// # Errors
    /// Returns the error of the statement. After [`Error::OutOfTime`] or [`Error::Locked`] the caller should try again
    /// with fewer players.
    pub async fn settle_plain(
        &self,
        lease: Lease,
        progress: &Value,
        players: &[Uuid],
        time: &SweepTime,
    ) -> Result<Option<i64>, Error> {
        let sql = include_str!("../../sql/queries/sweep/settle_plain.sql");
        let SweepTime { now, unseen_since, catalogue_version } = time;
        let row = self
            .query_opt(
                sql,
                &[
                    &lease.job,
                    &lease.token,
                    progress,
                    &players,
                    unseen_since,
                    now,
                    &signed(*catalogue_version),
                ],
            )
            .await?;
        Ok(row.map(|row| row.try_get("settled")).transpose()?)
    }

    /// As [`Store::settle_plain`], for players that the rules have settled. A player is skipped if its row was written
    /// after it was read.
    ///
    /// # Errors
    /// As [`Store::settle_plain`].
    pub async fn settle_folded(
        &self,
        lease: Lease,
        progress: &Value,
        players: &[SettledPlayer],
    ) -> Result<Option<i64>, Error> {
        fn column<T>(players: &[SettledPlayer], value: impl Fn(&SettledPlayer) -> T) -> Vec<T> {
            players.iter().map(value).collect()
        }
        let sql = include_str!("../../sql/queries/sweep/settle_folded.sql");
        let finals = players.iter().flat_map(|it| {
            it.finished.iter().map(|(season, score)| (it.record.id, (season.number(), *score)))
        });
        let (finished, (seasons, scores)): (Vec<_>, (Vec<_>, Vec<_>)) = finals.unzip();
        let row = self
            .query_opt(
                sql,
                &[
                    &lease.job,
                    &lease.token,
                    progress,
                    &column(players, |it| it.record.id),
                    &column(players, |it| it.record.revision),
                    &column(players, |it| it.record.player.energy),
                    &column(players, |it| it.record.player.lifetime_energy),
                    &column(players, |it| it.record.player.unseen_energy),
                    &column(players, |it| it.record.player.settled_at),
                    &column(players, |it| it.accrues_until),
                    &column(players, |it| it.energy_per_second),
                    &column(players, |it| signed(it.record.catalogue_version)),
                    &column(players, |it| it.record.player.season.number()),
                    &column(players, |it| it.record.player.season_base),
                    &finished,
                    &seasons,
                    &scores,
                ],
            )
            .await?;
        Ok(row.map(|row| row.try_get("settled")).transpose()?)
    }
}
