//! What operators send: to some players or to everybody, now or later.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::deliver::{Announcement, Delivery, deliver, note_deleted, stream_of};
use super::{Error, Notifications};
use crate::domain::{Localized, Priority, Timestamp};
use crate::id::new_id;
use crate::store::jobs::NewJob;
use crate::store::mailings::{Inserted, MailingRecord, NewMailing};
use crate::store::{self, Transaction};
use crate::streams::StreamName;

/// The kind of the job that sends a mailing at its time.
pub const SEND_KIND: &str = "send_notification";
/// Attempts of that job. The pauses between them add up to about ten minutes.
const ATTEMPTS: i32 = 8;
/// Seconds for which a second mailing with the same key is not made.
const KEY_SECONDS: f64 = 30.0 * 86_400.0;

/// A mailing as an operator requests it.
#[derive(Clone, Debug, Serialize)]
pub struct Mailing {
    /// `None` for everybody.
    pub players: Option<Vec<Uuid>>,
    pub kind: String,
    pub priority: Priority,
    pub title: Localized,
    pub body: Localized,
    pub data: Value,
    pub dedupe_key: Option<String>,
    /// When to send it; `None` for now.
    pub at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// The result of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: Uuid,
    /// Whether an earlier request with the same key had made the mailing.
    pub repeated: bool,
}

impl Notifications {
    /// Sends a mailing, or enqueues a job that sends it at its time. Writes an entry of the audit log.
    ///
    /// # Errors
    /// Returns [`Error::KeyReused`] if another mailing has the same key.
    pub async fn send(&self, mailing: Mailing) -> Result<Sent, Error> {
        let now = self.clock.now();
        let hash = Sha256::digest(json!(mailing).to_string()).to_vec();
        let id = new_id(now);
        let send_at = mailing.at.map_or(now, |at| at.max(now));
        let mut transaction = self.store.begin().await?;
        let Mailing { players, kind, priority, title, body, data, dedupe_key, expires_at, .. } =
            mailing;
        let new = NewMailing {
            id,
            players,
            kind,
            priority,
            title,
            body,
            data,
            dedupe_key,
            request_hash: hash,
            created_at: now,
            send_at,
            expires_at,
        };
        match transaction.insert_mailing(&new, now.plus_seconds(-KEY_SECONDS)).await? {
            Inserted::Existing { id, request_hash } => {
                transaction.rollback().await?;
                let is_same = request_hash == new.request_hash;
                return if is_same {
                    Ok(Sent { id, repeated: true })
                } else {
                    Err(Error::KeyReused)
                };
            }
            Inserted::New => {}
        }
        let recipients = new.players.as_ref().map_or(Value::from("all"), |it| it.len().into());
        let detail =
            json!({ "id": id, "type": new.kind, "to": recipients, "at": send_at.as_micros() });
        transaction.audit(now, "notification", None, &detail).await?;
        if send_at > now {
            let job = NewJob {
                id: new_id(now),
                kind: SEND_KIND,
                unique_key: &id.to_string(),
                arguments: &json!({ "id": id }),
                run_after: send_at,
                max_attempts: ATTEMPTS,
                created_at: now,
            };
            transaction.enqueue_job(&job).await?;
            transaction.commit().await?;
        } else {
            let held = transaction.hold_mailing(id).await?.ok_or(Error::NoSuchNotification)?;
            let appended = self.send_held(&mut transaction, &held, now).await?;
            transaction.commit().await?;
            self.announce(appended);
        }
        Ok(Sent { id, repeated: false })
    }

    /// Delivers a mailing that is locked and was not sent yet.
    async fn send_held(
        &self,
        transaction: &mut Transaction,
        mailing: &MailingRecord,
        now: Timestamp,
    ) -> Result<super::Appended, store::Error> {
        let delivery = |player: &Uuid| Delivery {
            player: *player,
            kind: mailing.kind.clone(),
            priority: mailing.priority,
            mailing: Some(mailing.id),
            data: mailing.data.clone(),
            expires_at: mailing.expires_at,
        };
        let request = Some(new_id(now));
        let (mut deliveries, mut announcements) = (Vec::new(), Vec::new());
        if let Some(players) = &mailing.players {
            deliveries.extend(players.iter().map(delivery));
            transaction.note_sent(mailing.id, now, None).await?;
        } else {
            let priority = mailing.priority;
            announcements.push(Announcement { mailing: mailing.id, priority });
        }
        let locked = deliver(transaction, now, request, deliveries, announcements).await?;
        self.append(transaction, locked).await
    }

    /// Sends a mailing whose time has come, in a transaction of the job, unless it was sent or withdrawn before or has
    /// expired. Returns what to do after the commit.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn send_scheduled(
        &self,
        transaction: &mut Transaction,
        id: Uuid,
    ) -> Result<AfterCommit<'_>, store::Error> {
        let now = self.clock.now();
        let mut after = AfterCommit { notifications: self, appended: None };
        let Some(mailing) = transaction.hold_mailing(id).await? else { return Ok(after) };
        let has_expired = mailing.expires_at.is_some_and(|at| at <= now);
        if mailing.sent_at.is_none() && mailing.ended_at.is_none() && !has_expired {
            after.appended = Some(self.send_held(transaction, &mailing, now).await?);
        }
        Ok(after)
    }

    /// Withdraws a mailing: it is not sent any more, and nobody has it any more. Writes an entry of the audit log. A
    /// repeat changes nothing.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchNotification`].
    pub async fn withdraw(&self, id: Uuid) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.store.begin().await?;
        let Some(mailing) = transaction.hold_mailing(id).await? else {
            transaction.rollback().await?;
            return Err(Error::NoSuchNotification);
        };
        if mailing.ended_at.is_some() {
            transaction.rollback().await?;
            return Ok(());
        }
        let players = transaction.recipients_of(id).await?;
        // In the order of all changes: players, then streams.
        let held = transaction.hold_recipients(&players).await?;
        let mut streams: Vec<_> = held.iter().map(|&player| stream_of(player)).collect();
        let announced = StreamName::Announcements.to_string();
        streams.extend(mailing.sequence.map(|_| announced.clone()));
        let mut locked = transaction.lock_streams(streams).await?;
        let request = Some(new_id(now));
        transaction.note_ended(&[id], now).await?;
        if mailing.sequence.is_some() {
            let data = json!({ "id": id }).to_string();
            locked.add(&announced, "announcement.withdrawn", now, request, data)?;
        }
        let deleted = transaction.delete_notifications_of(id).await?;
        note_deleted(&mut transaction, &mut locked, now, request, &deleted).await?;
        let detail = json!({ "id": id, "type": mailing.kind });
        transaction.audit(now, "withdraw_notification", None, &detail).await?;
        self.commit(transaction, locked).await?;
        self.announcements.invalidate(&id).await;
        Ok(())
    }

    /// Up to `limit` mailings with ids below `before`, newest first, and whether there are more.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn mailings(
        &self,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<MailingRecord>, bool), Error> {
        let with_next = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
        let mut mailings = self.store.list_mailings(before, with_next).await?;
        let more = mailings.len() > limit;
        mailings.truncate(limit);
        Ok((mailings, more))
    }
}

/// What is to be done after the commit of a transaction.
#[must_use]
pub struct AfterCommit<'a> {
    pub(super) notifications: &'a Notifications,
    pub(super) appended: Option<super::Appended>,
}

impl AfterCommit<'_> {
    /// Tells the instances of the events that were committed.
    pub fn announce(self) {
        if let Some(appended) = self.appended {
            self.notifications.announce(appended);
        }
    }
}
