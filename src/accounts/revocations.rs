//! Sessions and players whose access tokens are rejected although they have not expired.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::pulse::{Reason, Revocation};

/// The revocations that this instance knows: those that it read from the database, and those that it made.
#[derive(Debug, Default)]
pub struct Revocations {
    known: RwLock<Known>,
    generation: AtomicU64,
    /// Changes whenever `generation` does.
    changes: watch::Sender<()>,
    /// Notified when this instance has made a revocation.
    made: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// By player or session: the reason, and when it was added here.
    reasons: HashMap<Uuid, (Reason, Timestamp)>,
    /// The number of the latest ban or end of a ban of a player, and when it was added here. The answer to a poll may
    /// arrive after this instance has made a later one.
    bans: HashMap<Uuid, (i64, Timestamp)>,
}

impl Known {
    fn add(&mut self, revocation: Revocation, now: Timestamp) {
        let Revocation { subject, reason, number } = revocation;
        if matches!(reason, Reason::PlayerBanned | Reason::PlayerUnbanned) {
            let current = self.reasons.get(&subject).map(|&(reason, _)| reason);
            if current == Some(Reason::PlayerDeleted) {
                return;
            }
            if self.bans.get(&subject).is_some_and(|&(latest, _)| latest >= number) {
                return;
            }
            self.bans.insert(subject, (number, now));
        }
        match reason {
            Reason::PlayerUnbanned => drop(self.reasons.remove(&subject)),
            reason => drop(self.reasons.insert(subject, (reason, now))),
        }
    }
}

impl Revocations {
    /// Adds revocations. Those of one player may come in any order.
    pub fn learn(&self, revocations: &[Revocation], now: Timestamp) {
        if revocations.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for &revocation in revocations {
            known.add(revocation, now);
        }
        drop(known);
        self.generation.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
    }

    /// As [`Revocations::learn`], for a revocation that this instance has just made.
    pub fn note_made(&self, revocation: Revocation, now: Timestamp) {
        self.learn(&[revocation], now);
        self.made.notify_one();
    }

    /// Returns when this instance has made a revocation.
    pub async fn made(&self) {
        self.made.notified().await;
    }

    /// Changes with every revocation.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Replaces all revocations by those of a database of another epoch.
    pub fn restart(&self, revocations: &[Revocation], now: Timestamp) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known::default();
        self.learn(revocations, now);
        self.generation.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
    }

    /// A number that rises with every revocation. While it is unchanged, a session that was checked need not be checked
    /// again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Adds a revocation that is never lifted: the end of a session, or the deletion of a player.
    pub fn note_final(&self, subject: Uuid, reason: Reason, now: Timestamp) {
        self.note_made(Revocation { subject, reason, number: i64::MAX }, now);
    }

    /// Why a session or player is rejected; `None` if it is not.
    pub fn reason(&self, subject: Uuid) -> Option<Reason> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.reasons.get(&subject).map(|&(reason, _)| reason)
    }

    /// Removes revocations that were added before `before`: the access tokens that they reject have expired.
    pub fn forget_before(&self, before: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.reasons.retain(|_, &mut (_, added_at)| added_at >= before);
        known.bans.retain(|_, &mut (_, added_at)| added_at >= before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ban_counts_in_any_order_and_old_ones_are_removed() {
        let (revocations, player) = (Revocations::default(), Uuid::from_u128(rand::random()));
        let at = Timestamp::from_micros;
        let learn = |number, reason| {
            revocations.learn(&[Revocation { subject: player, reason, number }], at(number));
            revocations.reason(player)
        };
        assert_eq!(learn(1, Reason::PlayerBanned), Some(Reason::PlayerBanned));
        assert_eq!(learn(3, Reason::PlayerUnbanned), None);
        // As from the answer to a poll that was sent before.
        assert_eq!(learn(2, Reason::PlayerBanned), None);
        assert_eq!(learn(5, Reason::PlayerBanned), Some(Reason::PlayerBanned));
        assert_eq!(learn(4, Reason::PlayerUnbanned), Some(Reason::PlayerBanned));
        revocations.forget_before(at(6));
        assert_eq!(revocations.reason(player), None);
        revocations.note_final(player, Reason::PlayerDeleted, at(7));
        assert_eq!(revocations.reason(player), Some(Reason::PlayerDeleted));
        // As from the answer to a poll that was sent before the deletion.
        assert_eq!(learn(8, Reason::PlayerUnbanned), Some(Reason::PlayerDeleted));
    }
}
