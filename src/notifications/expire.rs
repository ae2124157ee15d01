//! Removes notifications and announcements that have expired or are too old, with an event each.

use serde_json::json;
use uuid::Uuid;

use super::Notifications;
use super::deliver::{note_deleted, stream_of};
use super::send::AfterCommit;
use crate::domain::Timestamp;
use crate::store::{self, Transaction};
use crate::streams::StreamName;

/// Seconds for which notifications are kept.
const KEPT_SECONDS: f64 = 90.0 * 86_400.0;
/// Seconds for which mailings are kept: longer than the notifications that have their texts from them.
const MAILINGS_KEPT_SECONDS: f64 = 120.0 * 86_400.0;

/// What one step of the job removes.
#[derive(Debug)]
pub struct Lapsed {
    players: Vec<Uuid>,
    announcements: Vec<Uuid>,
}

impl Lapsed {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.players.is_empty() && self.announcements.is_empty()
    }
}

impl Notifications {
    /// What is to be removed at `now`, at most as much as one step removes.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_lapsed(&self, now: Timestamp) -> Result<Lapsed, store::Error> {
        let oldest = now.plus_seconds(-KEPT_SECONDS);
        Ok(Lapsed {
            players: self.store.find_lapsed_notifications(now, oldest).await?,
            announcements: self.store.find_lapsed_announcements(now, oldest).await?,
        })
    }

    /// Removes what was found, in a transaction of a job. Returns what to do after the commit.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn remove_lapsed(
        &self,
        transaction: &mut Transaction,
        lapsed: &Lapsed,
        now: Timestamp,
    ) -> Result<AfterCommit<'_>, store::Error> {
        let oldest = now.plus_seconds(-KEPT_SECONDS);
        let mut ended = Vec::new();
        // Mailings, players, streams: in the order of all changes.
        for &id in &lapsed.announcements {
            let mailing = transaction.hold_mailing(id).await?;
            // An operator may have withdrawn it meanwhile.
            ended.extend(mailing.filter(|it| it.ended_at.is_none()).map(|it| it.id));
        }
        let held = transaction.hold_recipients(&lapsed.players).await?;
        let mut streams: Vec<_> = held.iter().map(|&player| stream_of(player)).collect();
        let announced = StreamName::Announcements.to_string();
        streams.extend((!ended.is_empty()).then(|| announced.clone()));
        let mut locked = transaction.lock_streams(streams).await?;
        transaction.note_ended(&ended, now).await?;
        for id in ended {
            let data = json!({ "id": id }).to_string();
            locked.add(&announced, "announcement.withdrawn", now, None, data)?;
        }
        let deleted = transaction.delete_lapsed_notifications(&lapsed.players, now, oldest).await?;
        note_deleted(transaction, &mut locked, now, None, &deleted).await?;
        let appended = Some(self.append(transaction, locked).await?);
        Ok(AfterCommit { notifications: self, appended })
    }

    /// Deletes mailings of which nothing is left.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge(
        &self,
        transaction: &mut Transaction,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        transaction.purge_mailings(now.plus_seconds(-MAILINGS_KEPT_SECONDS)).await
    }

    /// Deletes what is left of players who were deleted at `since` or later: by an instance of the previous release, and
    /// their ids in mailings.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_deleted(
        &self,
        transaction: &mut Transaction,
        since: Timestamp,
    ) -> Result<(), store::Error> {
        transaction.delete_orphans(since).await
    }
}
