//! Adds notifications and announcements with their events, in one transaction.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{Priority, Timestamp};
use crate::id::new_id;
use crate::store::notifications::{NewNotification, UnreadCounts};
use crate::store::streams::LockedStreams;
use crate::store::{Error, Transaction};
use crate::streams::StreamName;

/// A notification to deliver to a player.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) player: Uuid,
    pub(super) kind: String,
    pub(super) priority: Priority,
    pub(super) mailing: Option<Uuid>,
    pub(super) data: Value,
    pub(super) expires_at: Option<Timestamp>,
}

/// An announcement to make: a mailing that is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    pub(super) mailing: Uuid,
    pub(super) priority: Priority,
}

/// The name of a player's stream.
pub(super) fn stream_of(player: Uuid) -> String {
    StreamName::Player(player).to_string()
}

/// The unread counts as JSON.
pub(super) fn counts_json(counts: UnreadCounts) -> Value {
    let UnreadCounts { high, medium, low } = counts;
    json!({ "high": high, "medium": medium, "low": low })
}

/// Delivers notifications, and makes announcements. Players who do not exist, or have muted the type of a notification
/// that is not of high priority, are omitted. Events are not yet appended: the caller may add more of its own.
pub(super) async fn deliver(
    transaction: &mut Transaction,
    now: Timestamp,
    request: Option<Uuid>,
    mut deliveries: Vec<Delivery>,
    mut announcements: Vec<Announcement>,
) -> Result<LockedStreams, Error> {
    let mut players: Vec<_> = deliveries.iter().map(|delivery| delivery.player).collect();
    players.sort_unstable();
    players.dedup();
    // Rows of players are locked before streams, everywhere.
    let players = transaction.hold_recipients(&players).await?;
    let mut streams: Vec<_> = players.iter().map(|&player| stream_of(player)).collect();
    let announced = StreamName::Announcements.to_string();
    streams.extend((!announcements.is_empty()).then(|| announced.clone()));
    let mut locked = transaction.lock_streams(streams).await?;
    // After the lock, so that a type is not made any more once its muting was answered.
    let muted = transaction.muted_by(&players).await?;
    let is_muted = |it: &Delivery| {
        it.priority != Priority::High
            && muted.get(&it.player).is_some_and(|types| types.contains(&it.kind))
    };
    // The players are sorted.
    deliveries.retain(|it| players.binary_search(&it.player).is_ok() && !is_muted(it));
    // Of what is committed together, the most important comes first.
    announcements.sort_by_key(|it| it.priority);
    for Announcement { mailing, .. } in announcements {
        let data = json!({ "id": mailing }).to_string();
        let sequence = locked.add(&announced, "announcement.created", now, request, data)?;
        transaction.note_sent(mailing, now, Some(sequence)).await?;
    }
    deliveries.sort_by_key(|it| it.priority);
    let mut new = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let Delivery { player, kind, priority, mailing, data, expires_at } = delivery;
        let id = new_id(now);
        let reference = json!({ "id": id }).to_string();
        let stream = stream_of(player);
        let sequence = locked.add(&stream, "notification.created", now, request, reference)?;
        new.push(NewNotification {
            player,
            id,
            sequence,
            kind,
            priority,
            mailing,
            data,
            at: now,
            expires_at,
        });
    }
    transaction.insert_notifications(&new).await?;
    let trimmed = transaction.trim_notifications(&players).await?;
    note_deleted(transaction, &mut locked, now, request, &trimmed).await?;
    Ok(locked)
}

/// Adds the events of notifications that were deleted, given with their players, whose streams are locked.
pub(super) async fn note_deleted(
    transaction: &mut Transaction,
    locked: &mut LockedStreams,
    now: Timestamp,
    request: Option<Uuid>,
    deleted: &[(Uuid, Uuid)],
) -> Result<(), Error> {
    if deleted.is_empty() {
        return Ok(());
    }
    let mut players: Vec<_> = deleted.iter().map(|&(player, _)| player).collect();
    players.sort_unstable();
    players.dedup();
    let counts: HashMap<_, _> = transaction.unread(&players).await?;
    for &(player, id) in deleted {
        // A player without counts was deleted, together with its stream.
        let Some(&counts) = counts.get(&player) else { continue };
        let data = json!({ "id": id, "unread": counts_json(counts) }).to_string();
        locked.add(&stream_of(player), "notification.deleted", now, request, data)?;
    }
    Ok(())
}
