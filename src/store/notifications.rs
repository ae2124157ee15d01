//! Notifications of players, and which announcements they have read.

use std::collections::HashMap;

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::{Localized, Priority, Timestamp};

/// How many notifications and announcements a player has not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts {
    pub high: i64,
    pub medium: i64,
    pub low: i64,
}

/// A notification of a player, or an announcement in the list of a player.
#[derive(Clone, Debug)]
pub struct NotificationRecord {
    pub id: Uuid,
    /// The sequence of its event: in the player's stream, or in `announcements`.
    pub sequence: i64,
    pub kind: String,
    pub priority: Priority,
    /// Title and body; `None` if they follow from the type.
    pub texts: Option<(Localized, Localized)>,
    pub data: Value,
    pub at: Timestamp,
    pub read_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub is_announcement: bool,
}

/// A notification to add.
#[derive(Clone, Debug)]
pub struct NewNotification {
    pub player: Uuid,
    pub id: Uuid,
    pub sequence: i64,
    pub kind: String,
    pub priority: Priority,
    /// The mailing with its texts; `None` if they follow from the type.
    pub mailing: Option<Uuid>,
    pub data: Value,
    pub at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Which notifications to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub priority: Option<Priority>,
    /// Only unread ones.
    pub unread: bool,
    /// Only those before the one with this time and id.
    pub before: Option<(Timestamp, Uuid)>,
    pub limit: i64,
}

/// A page of a player's list, with counts and heads of the same snapshot.
#[derive(Clone, Debug)]
pub struct NotificationList {
    pub entries: Vec<NotificationRecord>,
    pub unread: UnreadCounts,
    /// The head of the player's stream.
    pub head: i64,
    pub announcements_head: i64,
}

/// Which notifications to mark as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Those with these ids, announcements among them.
    Ids(Vec<Uuid>),
    /// Those up to a sequence, and announcements up to another one.
    Through { personal: Option<i64>, announcements: Option<i64> },
}

/// The number of a priority in the database.
pub(super) fn priority_number(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Medium => 1,
        Priority::Low => 2,
    }
}

/// The priority with a number.
pub(super) fn priority_of(number: i16) -> Result<Priority, Error> {
    let found = Priority::ALL.into_iter().find(|&it| priority_number(it) == number);
    found.ok_or_else(|| Error::Corrupt(format!("the priority {number}")))
}

impl Store {
    /// A page of a player's notifications and announcements, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_notifications(
        &self,
        player: Uuid,
        filter: &Filter,
    ) -> Result<NotificationList, Error> {
        let Filter { priority, unread, before, limit } = *filter;
        let priority = priority.map(priority_number);
        let (at, id) = before.unzip();
        let parameters: [&(dyn ToSql + Sync); 6] = [&player, &priority, &unread, &at, &id, &limit];
        let sql = include_str!("../../sql/queries/notifications/list.sql");
        let rows = self.query(sql, &parameters).await?;
        let first = rows.first().ok_or_else(|| Error::Corrupt("no counts".into()))?;
        let entries = rows.iter().filter(|row| {
            matches!(row.try_get::<_, Option<Uuid>>("notification_id"), Ok(Some(_)) | Err(_))
        });
        Ok(NotificationList {
            unread: counts(first)?,
            head: first.try_get("head")?,
            announcements_head: first.try_get("announcements_head")?,
            entries: entries.map(decode).collect::<Result<_, _>>()?,
        })
    }

    /// Those of some notifications of a player that it still has.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn load_notifications(
        &self,
        player: Uuid,
        ids: &[Uuid],
    ) -> Result<Vec<NotificationRecord>, Error> {
        let sql = include_str!("../../sql/queries/notifications/load.sql");
        self.query(sql, &[&player, &ids]).await?.iter().map(decode).collect()
    }

    /// All notifications of a player, newest first. Announcements are not among them.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn all_notifications(&self, player: Uuid) -> Result<Vec<NotificationRecord>, Error> {
        let sql = include_str!("../../sql/queries/notifications/export.sql");
        self.query(sql, &[&player]).await?.iter().map(decode).collect()
    }

    /// The types that a player has muted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn muted_types(&self, player: Uuid) -> Result<Vec<String>, Error> {
        let sql = include_str!("../../sql/queries/notifications/settings.sql");
        let row = self.query_opt(sql, &[&player]).await?;
        Ok(row.map(|row| row.try_get("muted_types")).transpose()?.unwrap_or_default())
    }

    /// Up to 200 players who have notifications that have expired at `now` or are older than `oldest`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_lapsed_notifications(
        &self,
        now: Timestamp,
        oldest: Timestamp,
    ) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/notifications/find_lapsed.sql");
        let rows = self.query(sql, &[&now, &oldest]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}

impl Transaction {
    /// Those of the players that exist, in the order of their ids. A deletion of one of them waits until this transaction
    /// ends, and then deletes what the transaction added.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn hold_recipients(&mut self, players: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/notifications/hold_players.sql");
        let rows = self.query(sql, &[&players]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }

    /// The types that some players have muted. Call it after their streams are locked.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn muted_by(
        &mut self,
        players: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<String>>, Error> {
        let sql = include_str!("../../sql/queries/notifications/muted.sql");
        let rows = self.query(sql, &[&players]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("player_id")?, row.try_get("muted_types")?)))
            .collect()
    }

    /// Stores the types that a player has muted. The player and its stream must be locked.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn set_muted_types(&mut self, player: Uuid, types: &[String]) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/notifications/set_settings.sql");
        self.execute(sql, &[&player, &types]).await.map(drop)
    }

    /// How much each of some players has not read. Players who do not exist are omitted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn unread(&mut self, players: &[Uuid]) -> Result<HashMap<Uuid, UnreadCounts>, Error> {
        let sql = include_str!("../../sql/queries/notifications/unread.sql");
        let rows = self.query(sql, &[&players]).await?;
        rows.iter().map(|row| Ok((row.try_get("player_id")?, counts(row)?))).collect()
    }

    /// Adds notifications.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn insert_notifications(&mut self, new: &[NewNotification]) -> Result<(), Error> {
        let players: Vec<_> = new.iter().map(|it| it.player).collect();
        let ids: Vec<_> = new.iter().map(|it| it.id).collect();
        let sequences: Vec<_> = new.iter().map(|it| it.sequence).collect();
        let kinds: Vec<_> = new.iter().map(|it| it.kind.as_str()).collect();
        let priorities: Vec<_> = new.iter().map(|it| priority_number(it.priority)).collect();
        let mailings: Vec<_> = new.iter().map(|it| it.mailing).collect();
        let data: Vec<_> = new.iter().map(|it| &it.data).collect();
        let at: Vec<_> = new.iter().map(|it| it.at).collect();
        let expires_at: Vec<_> = new.iter().map(|it| it.expires_at).collect();
        let parameters: [&(dyn ToSql + Sync); 9] =
            [&players, &ids, &sequences, &kinds, &priorities, &mailings, &data, &at, &expires_at];
        let sql = include_str!("../../sql/queries/notifications/insert.sql");
        self.execute(sql, &parameters).await.map(drop)
    }

    /// Deletes the oldest notifications of some players beyond the newest 1,000, and returns them with their players.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn trim_notifications(
        &mut self,
        players: &[Uuid],
    ) -> Result<Vec<(Uuid, Uuid)>, Error> {
        let sql = include_str!("../../sql/queries/notifications/trim.sql");
        pairs(&self.query(sql, &[&players]).await?)
    }

    /// Marks notifications and announcements as read by a player. Returns whether one of them was unread.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn mark_read(
        &mut self,
        player: Uuid,
        marked: &Marked,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (ids, personal, announcements) = match marked {
            Marked::Ids(ids) => (ids.as_slice(), None, None),
            &Marked::Through { personal, announcements } => (&[][..], personal, announcements),
        };
        let sql = include_str!("../../sql/queries/notifications/mark_read.sql");
        let personal = self.query(sql, &[&player, &ids, &personal, &now]).await?;
        let sql = include_str!("../../sql/queries/notifications/mark_announcements_read.sql");
        let common = self.query(sql, &[&player, &ids, &announcements, &now]).await?;
        Ok(!personal.is_empty() || !common.is_empty())
    }

    /// Removes a notification or an announcement from a player's list. Returns false if it was not there.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn delete_notification(
        &mut self,
        player: Uuid,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/notifications/delete.sql");
        Ok(!self.query(sql, &[&player, &id, &now]).await?.is_empty())
    }

    /// Deletes the notifications of some players that have expired at `now` or are older than `oldest`, and returns
    /// them with their players.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn delete_lapsed_notifications(
        &mut self,
        players: &[Uuid],
        now: Timestamp,
        oldest: Timestamp,
    ) -> Result<Vec<(Uuid, Uuid)>, Error> {
        let sql = include_str!("../../sql/queries/notifications/delete_lapsed.sql");
        pairs(&self.query(sql, &[&players, &now, &oldest]).await?)
    }

    /// Deletes the streams, notifications and settings of players who were deleted at `since` or later, and their ids in
    /// mailings.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn delete_orphans(&mut self, since: Timestamp) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/notifications/delete_orphans.sql");
        self.execute(sql, &[&since]).await.map(drop)
    }
}

pub(super) fn pairs(rows: &[Row]) -> Result<Vec<(Uuid, Uuid)>, Error> {
    rows.iter()
        .map(|row| Ok((row.try_get("player_id")?, row.try_get("notification_id")?)))
        .collect()
}

fn counts(row: &Row) -> Result<UnreadCounts, Error> {
    Ok(UnreadCounts {
        high: row.try_get("high")?,
        medium: row.try_get("medium")?,
        low: row.try_get("low")?,
    })
}

fn decode(row: &Row) -> Result<NotificationRecord, Error> {
    let title: Option<Json<Localized>> = row.try_get("title")?;
    let body: Option<Json<Localized>> = row.try_get("body")?;
    Ok(NotificationRecord {
        id: row.try_get("notification_id")?,
        sequence: row.try_get("sequence")?,
        kind: row.try_get("type")?,
        priority: priority_of(row.try_get("priority")?)?,
        texts: title.zip(body).map(|(title, body)| (title.0, body.0)),
        data: row.try_get("data")?,
        at: row.try_get("at")?,
        read_at: row.try_get("read_at")?,
        expires_at: row.try_get("expires_at")?,
        is_announcement: row.try_get("announcement")?,
    })
}
