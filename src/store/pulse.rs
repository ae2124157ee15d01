//! The query that each instance sends twice a second to learn of changes in the database, and related statements.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::Error;
use super::pool::Store;
use crate::domain::Timestamp;
use crate::identity::{Epoch, Identity, Observed};

/// The answer to the query.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// The database's time when it answered.
    pub now: Timestamp,
    /// The latest catalogue; `None` if no catalogue is stored yet.
    pub catalogue_version: Option<u64>,
    /// Whether another instance cannot announce its changes to the other instances.
    pub silenced: bool,
    /// The requested revocations, by ascending number.
    pub revocations: Vec<Revocation>,
    /// The numbers of `revocations`, in the same order.
    pub revocation_numbers: Vec<i64>,
    /// The highest number of all committed revocations; 0 if there is none.
    pub last_revocation: i64,
}

/// Which revocations to read: those that satisfy at least one of the conditions.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The revocation was made at or after this time.
    pub since: Timestamp,
    /// Its number is higher than this.
    pub above: i64,
    /// Its number is one of these.
    pub missing: Vec<i64>,
}

impl Unread {
    /// Only revocations that were made at or after a time.
    pub fn since(since: Timestamp) -> Self {
        Self { since, above: i64::MAX, missing: Vec::new() }
    }
}

/// A session or a player that instances must reject, or may accept again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The id of the session or player.
    pub subject: Uuid,
    pub reason: Reason,
    /// Rises in the order in which the revocations of one player were made.
    pub number: i64,
}

/// The reason of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    SessionEnded,
    PlayerBanned,
    PlayerUnbanned,
    PlayerDeleted,
}

impl Store {
    /// Reads the database's time and identity, whether it is read-only, the latest catalogue, and the `unread`
    /// revocations, on behalf of `instance`. Passes the identity to [`Store::identity`]. If the database was restored
    /// to an earlier state, this first gives it a new epoch.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn pulse(&self, instance: Uuid, unread: &Unread) -> Result<Pulse, Error> {
        let rows = self.read_pulse(instance, unread).await?;
        if !self.identity().is_renewal_wanted() {
            return pulse_of(&rows);
        }
        Box::pin(self.renew_epoch(rows.first())).await;
        pulse_of(&Box::pin(self.read_pulse(instance, unread)).await?)
    }

    /// Gives the database a new epoch if it is known that the database returned to an earlier state. If the
    /// database refuses writes, the next poll tries again.
    pub async fn renew_epoch_if_wanted(&self, instance: Uuid, now: Timestamp) {
        if self.identity().is_renewal_wanted()
            && let Err(error) = self.pulse(instance, &Unread::since(now)).await
        {
            tracing::warn!(%error, "the database returned to an earlier state and has no new epoch yet");
        }
    }

    async fn read_pulse(&self, instance: Uuid, unread: &Unread) -> Result<Vec<Row>, Error> {
        let sent = Instant::now();
        let sql = include_str!("../../sql/queries/pulse/read.sql");
        let Unread { since, above, missing } = unread;
        let rows = self.query(sql, &[since, &instance, above, missing]).await?;
        let first = rows.first().ok_or_else(|| Error::Corrupt("no pulse".into()))?;
        self.identity().observe(observed(first)?, sent, Instant::now());
        if first.try_get("read_only")? {
            self.writes().found_read_only();
        }
        Ok(rows)
    }

    async fn renew_epoch(&self, row: Option<&Row>) {
        let Some(epoch) = row.and_then(|row| row.try_get::<_, Option<Uuid>>("epoch").ok()?) else {
            return;
        };
        let sql = include_str!("../../sql/queries/pulse/renew_epoch.sql");
        match self.execute(sql, &[&epoch]).await {
            Ok(_) => tracing::warn!(
                "the database returned to an earlier state; it has a new epoch now, and cached rows are discarded"
            ),
            Err(error) => tracing::debug!(%error, "the epoch cannot be renewed"),
        }
    }

    /// Stores that `instance` cannot announce its changes to other instances. Others respect this for at least `lasts`,
    /// which must be 3 s or more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_silence(&self, instance: Uuid, lasts: Duration) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/pulse/note_silence.sql");
        self.execute(sql, &[&instance, &lasts.as_secs_f64()]).await.map(drop)
    }

    /// Deletes what [`Store::note_silence`] stored, because `instance` makes no more changes.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn forget_silence(&self, instance: Uuid) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/pulse/forget_silence.sql");
        self.execute(sql, &[&instance]).await.map(drop)
    }

    /// The database's time.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn server_time(&self) -> Result<Timestamp, Error> {
        let row =
            self.query_opt(include_str!("../../sql/queries/pulse/server_time.sql"), &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no time".into()))?;
        Ok(row.try_get("now")?)
    }
}

fn pulse_of(rows: &[Row]) -> Result<Pulse, Error> {
    let first = rows.first().ok_or_else(|| Error::Corrupt("no pulse".into()))?;
    let version: Option<i64> = first.try_get("catalogue_version")?;
    let (mut revocations, mut revocation_numbers) = (Vec::new(), Vec::new());
    for row in rows {
        if let Some(subject) = row.try_get("subject")? {
            let (reason, number) = (decode(row.try_get("reason")?)?, row.try_get("revocation_id")?);
            revocations.push(Revocation { subject, reason, number });
            revocation_numbers.push(number);
        }
    }
    Ok(Pulse {
        now: first.try_get("now")?,
        catalogue_version: version.map(i64::unsigned_abs),
        silenced: first.try_get("silenced")?,
        revocations,
        revocation_numbers,
        last_revocation: first.try_get("last_revocation")?,
    })
}

/// The identity of the database in the answer, and the values that show whether it returned to an earlier state.
fn observed(row: &Row) -> Result<Observed, Error> {
    let deployment: Option<Uuid> = row.try_get("deployment_id")?;
    let epoch: Option<Uuid> = row.try_get("epoch")?;
    let system: Option<&str> = row.try_get("system_identifier")?;
    let oid: Option<i64> = row.try_get("database_oid")?;
    let timeline: Option<&str> = row.try_get("timeline")?;
    let started_at: Timestamp = row.try_get("started_at")?;
    let database = Sha256::new()
        .chain_update(deployment.unwrap_or_default())
        .chain_update(oid.unwrap_or_default().to_be_bytes())
        .chain_update(system.unwrap_or_default());
    let epoch = database
        .clone()
        .chain_update([0])
        .chain_update(epoch.unwrap_or_default())
        .chain_update(timeline.unwrap_or_default());
    Ok(Observed {
        identity: Identity { database: number(database), epoch: Epoch::from_number(number(epoch)) },
        server_started_at: started_at.as_micros(),
        wal_position: row.try_get("wal_position")?,
    })
}

/// The first 64 bits of a digest.
fn number(digest: Sha256) -> u64 {
    digest.finalize().iter().take(8).fold(0, |number, &byte| (number << 8) | u64::from(byte))
}

fn decode(reason: &str) -> Result<Reason, Error> {
    match reason {
        "session_ended" => Ok(Reason::SessionEnded),
        "player_banned" => Ok(Reason::PlayerBanned),
        "player_unbanned" => Ok(Reason::PlayerUnbanned),
        "player_deleted" => Ok(Reason::PlayerDeleted),
        other => Err(Error::Corrupt(format!("revocations.reason is {other}"))),
    }
}
