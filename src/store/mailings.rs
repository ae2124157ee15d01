//! Mailings: what operators, or the game itself, send to some players or to everybody.

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::error::Error;
use super::notifications::{pairs, priority_number, priority_of};
use super::pool::{Store, Transaction};
use crate::domain::{Localized, Priority, Timestamp};

/// A mailing to add.
#[derive(Clone, Debug)]
pub struct NewMailing {
    pub id: Uuid,
    /// `None` if it is for everybody.
    pub players: Option<Vec<Uuid>>,
    pub kind: String,
    pub priority: Priority,
    pub title: Localized,
    pub body: Localized,
    pub data: Value,
    pub dedupe_key: Option<String>,
    /// Tells a repeat from another request with the same key.
    pub request_hash: Vec<u8>,
    pub created_at: Timestamp,
    /// When it is to be sent.
    pub send_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A mailing.
#[derive(Clone, Debug)]
pub struct MailingRecord {
    pub id: Uuid,
    /// `None` if it is for everybody.
    pub players: Option<Vec<Uuid>>,
    pub kind: String,
    pub priority: Priority,
    pub title: Localized,
    pub body: Localized,
    pub data: Value,
    pub dedupe_key: Option<String>,
    pub created_at: Timestamp,
    pub send_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// When it was withdrawn, or found to have expired.
    pub ended_at: Option<Timestamp>,
    /// Its sequence in `announcements`, if it was sent to everybody.
    pub sequence: Option<i64>,
}

/// The result of adding a mailing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// There is a mailing with the same key.
    Existing {
        id: Uuid,
        request_hash: Vec<u8>,
    },
}

impl Store {
    /// Up to `limit` mailings with ids below `before`, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_mailings(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<MailingRecord>, Error> {
        let sql = include_str!("../../sql/queries/mailings/list.sql");
        self.query(sql, &[&before, &limit]).await?.iter().map(decode).collect()
    }

    /// Those of some announcements that were not withdrawn and have not expired.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn load_announcements(&self, ids: &[Uuid]) -> Result<Vec<MailingRecord>, Error> {
        let sql = include_str!("../../sql/queries/mailings/load_announcements.sql");
        self.query(sql, &[&ids]).await?.iter().map(decode).collect()
    }

    /// Up to 100 announcements that have expired at `now` or were sent before `oldest`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_lapsed_announcements(
        &self,
        now: Timestamp,
        oldest: Timestamp,
    ) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/mailings/find_lapsed.sql");
        let rows = self.query(sql, &[&now, &oldest]).await?;
        rows.iter().map(|row| Ok(row.try_get("mailing_id")?)).collect()
    }
}

impl Transaction {
    /// Adds a mailing, unless one with the same key was added at `keys_since` or later. Waits for a transaction that is
    /// adding one.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn insert_mailing(
        &mut self,
        new: &NewMailing,
        keys_since: Timestamp,
    ) -> Result<Inserted, Error> {
        if new.dedupe_key.is_some() {
            let free = include_str!("../../sql/queries/mailings/free_key.sql");
            self.execute(free, &[&new.dedupe_key, &keys_since]).await?;
        }
        let (title, body) = (Json(&new.title), Json(&new.body));
        let priority = priority_number(new.priority);
        let parameters: [&(dyn ToSql + Sync); 12] = [
            &new.id,
            &new.players,
            &new.kind,
            &priority,
            &title,
            &body,
            &new.data,
            &new.dedupe_key,
            &new.request_hash,
            &new.created_at,
            &new.send_at,
            &new.expires_at,
        ];
        let insert = include_str!("../../sql/queries/mailings/insert.sql");
        if !self.query(insert, &parameters).await?.is_empty() {
            return Ok(Inserted::New);
        }
        let find = include_str!("../../sql/queries/mailings/find_key.sql");
        let rows = self.query(find, &[&new.dedupe_key]).await?;
        let row = rows.first();
        // The other mailing was committed, and then deleted or its key freed: as rare as a conflict.
        let row = row.ok_or_else(|| Error::Contention("the key was freed just now".into()))?;
        Ok(Inserted::Existing {
            id: row.try_get("mailing_id")?,
            request_hash: row.try_get("request_hash")?,
        })
    }

    /// Locks a mailing until the end of the transaction; `None` if it does not exist.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn hold_mailing(&mut self, id: Uuid) -> Result<Option<MailingRecord>, Error> {
        let rows = self.query(include_str!("../../sql/queries/mailings/hold.sql"), &[&id]).await?;
        rows.first().map(decode).transpose()
    }

    /// Notes that a mailing was sent, an announcement with its sequence.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_sent(
        &mut self,
        id: Uuid,
        now: Timestamp,
        sequence: Option<i64>,
    ) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/mailings/note_sent.sql");
        self.execute(sql, &[&id, &now, &sequence]).await.map(drop)
    }

    /// Notes that mailings were withdrawn or have expired. Returns how many had not ended before.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn note_ended(&mut self, ids: &[Uuid], now: Timestamp) -> Result<u64, Error> {
        let sql = include_str!("../../sql/queries/mailings/note_ended.sql");
        self.execute(sql, &[&ids, &now]).await
    }

    /// The players who have a notification of a mailing.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn recipients_of(&mut self, mailing: Uuid) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/mailings/recipients.sql");
        let rows = self.query(sql, &[&mailing]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }

    /// Deletes the notifications of a mailing, and returns them with their players.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn delete_notifications_of(
        &mut self,
        mailing: Uuid,
    ) -> Result<Vec<(Uuid, Uuid)>, Error> {
        let sql = include_str!("../../sql/queries/mailings/delete_notifications.sql");
        pairs(&self.query(sql, &[&mailing]).await?)
    }

    /// Deletes up to 1,000 mailings that were made before `before` and of which no notification is left.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_mailings(&mut self, before: Timestamp) -> Result<(), Error> {
        let sql = include_str!("../../sql/queries/mailings/purge.sql");
        self.execute(sql, &[&before]).await.map(drop)
    }
}

fn decode(row: &Row) -> Result<MailingRecord, Error> {
    Ok(MailingRecord {
        id: row.try_get("mailing_id")?,
        players: row.try_get("players")?,
        kind: row.try_get("type")?,
        priority: priority_of(row.try_get("priority")?)?,
        title: row.try_get::<_, Json<Localized>>("title")?.0,
        body: row.try_get::<_, Json<Localized>>("body")?.0,
        data: row.try_get("data")?,
        dedupe_key: row.try_get("dedupe_key")?,
        created_at: row.try_get("created_at")?,
        send_at: row.try_get("send_at")?,
        sent_at: row.try_get("sent_at")?,
        expires_at: row.try_get("expires_at")?,
        ended_at: row.try_get("ended_at")?,
        sequence: row.try_get("sequence")?,
    })
}
