//! The inbox lane: gives the entries of the outbox their places in streams.
//!
//! The statement that changes a player only adds an entry to the outbox, so no change of a player waits for a stream. This
//! task then takes all entries that wait and commits them together, on whatever instance comes first.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::deliver::{Announcement, Delivery, deliver};
use super::{Notifications, texts};
use crate::domain::Timestamp;
use crate::id::new_id;
use crate::store;
use crate::store::mailings::{Inserted, NewMailing};
use crate::store::outbox::OutboxEntry;

/// The largest number of entries of one transaction.
const BATCH: i64 = 256;
/// How often the outbox is looked at without a signal.
const INTERVAL: Duration = Duration::from_secs(5);
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Seconds after which the end of a season may be announced again, which is never.
const SEASON_KEY_SECONDS: f64 = 3650.0 * 86_400.0;

impl Notifications {
    /// Empties the outbox whenever it has entries. Never returns.
    pub async fn run_inbox(&self) {
        loop {
            // The signal may be missed, as by an instance that starts: then the next look finds the entry.
            drop(timeout(INTERVAL, self.signals.received().outbox_filled()).await);
            while let Err(error) = self.empty_outbox().await {
                self.metrics.outbox_failures.inc();
                tracing::debug!(%error, "the outbox could not be emptied");
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Takes all entries of the outbox that no other instance is taking.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn empty_outbox(&self) -> Result<(), store::Error> {
        while self.take_batch().await? == BATCH as usize {}
        Ok(())
    }

    async fn take_batch(&self) -> Result<usize, store::Error> {
        let now = self.clock.now();
        let mut transaction = self.store.begin().await?;
        let entries = transaction.take_outbox(BATCH).await?;
        let Some(oldest) = entries.first().map(|entry| entry.at) else {
            transaction.rollback().await?;
            return Ok(0);
        };
        let (mut deliveries, mut announcements) = (Vec::new(), Vec::new());
        let count = entries.len();
        for entry in entries {
            let OutboxEntry { player, kind, data, .. } = entry;
            if let Some(player) = player {
                deliveries.push(Delivery {
                    player,
                    kind,
                    priority: texts::PRIORITY,
                    mailing: None,
                    data,
                    expires_at: None,
                });
            } else if let Some(mailing) = season_ended(&kind, &data, now) {
                let keys_since = now.plus_seconds(-SEASON_KEY_SECONDS);
                if transaction.insert_mailing(&mailing, keys_since).await? == Inserted::New {
                    let priority = mailing.priority;
                    announcements.push(Announcement { mailing: mailing.id, priority });
                }
            }
        }
        let locked = deliver(&mut transaction, now, None, deliveries, announcements).await?;
        let appended = self.append(&mut transaction, locked).await?;
        transaction.commit().await?;
        self.metrics.outbox_seconds.observe(now.seconds_since(oldest).max(0.0));
        self.announce(appended);
        Ok(count)
    }
}

/// The announcement that a season has ended; `None` for entries of another type.
fn season_ended(kind: &str, data: &Value, now: Timestamp) -> Option<NewMailing> {
    if kind != "season_ended" {
        tracing::warn!(kind, "an entry of the outbox has a type that this release does not know");
        return None;
    }
    let season = data.get("season")?.as_str()?;
    let (title, body) = texts::season_ended(season);
    Some(NewMailing {
        id: new_id(now),
        players: None,
        kind: kind.to_owned(),
        priority: texts::PRIORITY,
        title,
        body,
        data: json!({ "season": season }),
        dedupe_key: Some(format!("season_ended {season}")),
        request_hash: Vec::new(),
        created_at: now,
        send_at: now,
        expires_at: None,
    })
}
