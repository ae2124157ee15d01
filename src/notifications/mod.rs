//! Notifications of single players, and announcements to everybody.
//!
//! A notification is a row, and an event in the stream of its player, which refers to the row. An announcement is one row
//! and one event in `announcements`, however many players there are. Each change is one transaction that locks the streams
//! first (`store::streams`), so an event and what it tells of are committed together.
//!
//! Unread counts are counted when they are asked for, from the rows themselves (`notifications/unread.sql`). So they
//! cannot differ from a recount. Time alone never changes them: what has expired counts until a job removes it, with an
//! event, at most a minute later.

mod deliver;
mod expire;
mod inbox;
mod send;
mod texts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde_json::json;
use uuid::Uuid;

pub use expire::Lapsed;
pub use send::{AfterCommit, Mailing, SEND_KIND, Sent};

use crate::clock::Clock;
use crate::domain::Localized;
use crate::id::new_id;
use crate::signals::Signals;
use crate::store::mailings::MailingRecord;
use crate::store::notifications::{
    Filter, Marked, NotificationList, NotificationRecord, UnreadCounts,
};
use crate::store::streams::{Event, LockedStreams};
use crate::store::{self, Store, Transaction};
use crate::streams::StreamName;
use crate::telemetry::metrics::StreamsMetrics;
use deliver::{counts_json, note_deleted, stream_of};

/// The types of events that this module appends.
const EVENT_TYPES: [&str; 5] = [
    "notification.created",
    "notification.read",
    "notification.deleted",
    "announcement.created",
    "announcement.withdrawn",
];
/// How long an announcement that was read for an event is shown after it was withdrawn.
const ANNOUNCEMENT_FRESH: Duration = Duration::from_secs(2);
/// The largest number of announcements in memory.
const MOST_ANNOUNCEMENTS: u64 = 1_000;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such player")]
    NoSuchPlayer,
    #[error("there is no such notification")]
    NoSuchNotification,
    /// A sequence up to which notifications are to be marked as read is beyond the head of its stream. The name is that
    /// of the member.
    #[error("{0} is beyond the head")]
    BeyondHead(&'static str),
    /// The key belongs to another mailing.
    #[error("the key was used for another notification")]
    KeyReused,
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What an event refers to, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Referred {
    /// The notifications of a player by id.
    pub notifications: HashMap<Uuid, NotificationRecord>,
    /// Announcements by id.
    pub announcements: HashMap<Uuid, Arc<MailingRecord>>,
}

/// The operations on notifications.
pub struct Notifications {
    store: Store,
    clock: Arc<dyn Clock>,
    signals: Arc<Signals>,
    metrics: StreamsMetrics,
    /// Announcements that events refer to. `None` for those that were withdrawn.
    announcements: Cache<Uuid, Option<Arc<MailingRecord>>>,
}

impl Notifications {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        signals: Arc<Signals>,
        metrics: StreamsMetrics,
    ) -> Self {
        metrics.declare(&EVENT_TYPES);
        let announcements = Cache::builder()
            .max_capacity(MOST_ANNOUNCEMENTS)
            .time_to_live(ANNOUNCEMENT_FRESH)
            .build();
        Self { store, clock, signals, metrics, announcements }
    }

    /// A page of a player's notifications and announcements, newest first.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list(&self, player: Uuid, filter: &Filter) -> Result<NotificationList, Error> {
        Ok(self.store.list_notifications(player, filter).await?)
    }

    /// Marks notifications and announcements as read. Returns the unread counts afterwards.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`] or [`Error::BeyondHead`].
    pub async fn mark_read(&self, player: Uuid, marked: &Marked) -> Result<UnreadCounts, Error> {
        let now = self.clock.now();
        let (mut transaction, mut locked) = self.change_of(player).await?;
        if let &Marked::Through { personal, announcements } = marked {
            if personal.is_some_and(|through| through > locked.head(&stream_of(player))) {
                transaction.rollback().await?;
                return Err(Error::BeyondHead("through"));
            }
            let name = StreamName::Announcements.to_string();
            if let Some(through) = announcements
                && through > transaction.stream_head(&name).await?
            {
                transaction.rollback().await?;
                return Err(Error::BeyondHead("announcements_through"));
            }
        }
        let changed = transaction.mark_read(player, marked, now).await?;
        let unread = unread_of(&mut transaction, player).await?;
        if changed {
            let mut data = match marked {
                Marked::Ids(ids) => json!({ "ids": ids }),
                Marked::Through { personal, announcements } => {
                    let mut data = json!({});
                    if let Some(through) = personal {
                        data["through"] = json!(through);
                    }
                    if let Some(through) = announcements {
                        data["announcements_through"] = json!(through);
                    }
                    data
                }
            };
            data["unread"] = counts_json(unread);
            let request = Some(new_id(now));
            let stream = stream_of(player);
            locked.add(&stream, "notification.read", now, request, data.to_string())?;
        }
        self.commit(transaction, locked).await?;
        Ok(unread)
    }

    /// Removes a notification or an announcement from a player's list.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`] or [`Error::NoSuchNotification`].
    pub async fn delete(&self, player: Uuid, id: Uuid) -> Result<(), Error> {
        let now = self.clock.now();
        let (mut transaction, mut locked) = self.change_of(player).await?;
        if !transaction.delete_notification(player, id, now).await? {
            transaction.rollback().await?;
            return Err(Error::NoSuchNotification);
        }
        let request = Some(new_id(now));
        note_deleted(&mut transaction, &mut locked, now, request, &[(player, id)]).await?;
        self.commit(transaction, locked).await
    }

    /// The types that a player has muted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn muted_types(&self, player: Uuid) -> Result<Vec<String>, Error> {
        Ok(self.store.muted_types(player).await?)
    }

    /// Sets the types that a player has muted.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`].
    pub async fn mute_types(&self, player: Uuid, types: &[String]) -> Result<(), Error> {
        let (mut transaction, locked) = self.change_of(player).await?;
        transaction.set_muted_types(player, types).await?;
        self.commit(transaction, locked).await
    }

    /// What the events of an answer to a player refer to, as it is now. What was deleted meanwhile is missing.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn referred(&self, reader: Uuid, events: &[Arc<Event>]) -> Result<Referred, Error> {
        let ids = |kind: &str| -> Vec<Uuid> {
            let of_kind = events.iter().filter(|event| event.kind == kind);
            of_kind.filter_map(|event| referred_id(event)).collect()
        };
        let mut referred = Referred::default();
        let notifications = ids("notification.created");
        if !notifications.is_empty() {
            let records = self.store.load_notifications(reader, &notifications).await?;
            referred.notifications = records.into_iter().map(|it| (it.id, it)).collect();
        }
        for id in ids("announcement.created") {
            // One query for all who read it in the same moment.
            let load = async {
                let found = self.store.load_announcements(&[id]).await?;
                Ok::<_, store::Error>(found.into_iter().next().map(Arc::new))
            };
            let found = self.announcements.try_get_with(id, load).await;
            let found = found.map_err(|error| store::Error::Unavailable(error.to_string()))?;
            referred.announcements.extend(found.map(|found| (id, found)));
        }
        Ok(referred)
    }

    /// Forgets announcements that were read, because the database was restored or replaced.
    pub fn forget_all(&self) {
        self.announcements.invalidate_all();
    }

    /// Begins a change of what one player has: the player and its stream are locked.
    async fn change_of(&self, player: Uuid) -> Result<(Transaction, LockedStreams), Error> {
        let mut transaction = self.store.begin().await?;
        if transaction.hold_recipients(&[player]).await?.is_empty() {
            transaction.rollback().await?;
            return Err(Error::NoSuchPlayer);
        }
        let locked = transaction.lock_streams(vec![stream_of(player)]).await?;
        Ok((transaction, locked))
    }

    /// Appends the events, commits, and tells the instances.
    async fn commit(
        &self,
        mut transaction: Transaction,
        locked: LockedStreams,
    ) -> Result<(), Error> {
        let appended = self.append(&mut transaction, locked).await?;
        transaction.commit().await?;
        self.announce(appended);
        Ok(())
    }

    /// Appends the events, in a transaction that the caller commits before it calls [`Notifications::announce`].
    async fn append(
        &self,
        transaction: &mut Transaction,
        locked: LockedStreams,
    ) -> Result<Appended, store::Error> {
        let kinds = locked.kinds();
        // In the span of the request, so that the id in an event leads to its request.
        tracing::debug!(call = ?locked.request(), events = kinds.len(), "appending events");
        Ok(Appended { heads: transaction.append_events(locked).await?, kinds })
    }

    /// Tells the instances of events that were committed.
    fn announce(&self, appended: Appended) {
        for kind in appended.kinds {
            self.metrics.appended(&kind);
        }
        self.signals.announce_heads(appended.heads);
    }
}

/// Events that a transaction has appended.
struct Appended {
    heads: Vec<(String, i64)>,
    kinds: Vec<String>,
}

async fn unread_of(transaction: &mut Transaction, player: Uuid) -> Result<UnreadCounts, Error> {
    let counts = transaction.unread(&[player]).await?;
    counts.get(&player).copied().ok_or(Error::NoSuchPlayer)
}

/// The title and the body of a notification.
pub fn texts_of(record: &NotificationRecord) -> (Localized, Localized) {
    record.texts.clone().unwrap_or_else(|| texts::of(&record.kind, &record.data))
}

/// The id of what an event refers to.
pub fn referred_id(event: &Event) -> Option<Uuid> {
    let data: serde_json::Value = serde_json::from_str(&event.data).ok()?;
    data.get("id")?.as_str()?.parse().ok()
}
