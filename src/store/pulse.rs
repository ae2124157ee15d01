//! What each instance asks the database twice a second.

use uuid::Uuid;

use super::error::Error;
use super::pool::Store;
use crate::domain::Timestamp;

/// The answer.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// The database's time at the answer.
    pub now: Timestamp,
    /// The newest catalogue; nothing before the first is stored.
    pub catalogue_version: Option<u64>,
    /// Whether another instance cannot announce what it changes.
    pub silenced: bool,
    /// In the order in which they were made.
    pub revocations: Vec<Revocation>,
}

/// Something that instances must stop trusting, or may trust again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// A session or a player.
    pub subject: Uuid,
    pub reason: Reason,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    SessionEnded,
    PlayerBanned,
    PlayerUnbanned,
    PlayerDeleted,
}

impl Store {
    /// Asks for the time, the newest catalogue, and the revocations since `since`, in the name of `instance`.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn pulse(&self, instance: Uuid, since: Timestamp) -> Result<Pulse, Error> {
        let sql = include_str!("../../sql/queries/pulse/read.sql");
        let rows = self.query(sql, &[&since, &instance]).await?;
        let first = rows.first().ok_or_else(|| Error::Corrupt("no pulse".into()))?;
        let version: Option<i64> = first.try_get("catalogue_version")?;
        let mut revocations = Vec::new();
        for row in &rows {
            if let Some(subject) = row.try_get("subject")? {
                revocations.push(Revocation { subject, reason: decode(row.try_get("reason")?)? });
            }
        }
        Ok(Pulse {
            now: first.try_get("now")?,
            catalogue_version: version.map(i64::unsigned_abs),
            silenced: first.try_get("silenced")?,
            revocations,
        })
    }

    /// Notes that `instance` cannot announce what it changes.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn note_silence(&self, instance: Uuid) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/pulse/note_silence.sql");
        self.execute(sql, &[&instance]).await.map(drop)
    }

    /// The database's time.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn server_time(&self) -> Result<Timestamp, Error> {
        let row =
            self.query_opt(include_str!("../../sql/queries/pulse/server_time.sql"), &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no time".into()))?;
        Ok(row.try_get("now")?)
    }
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
