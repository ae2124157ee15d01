//! Sessions and players whose access tokens are rejected although they have not expired.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::pulse::{Reason, Revocation};

/// The revocations that this instance knows: those that it read from the database, and those that it made.
#[derive(Debug, Default)]
pub struct Revocations {
    /// By player or session: the reason, and when it was added here.
    reasons: RwLock<HashMap<Uuid, (Reason, Timestamp)>>,
    generation: AtomicU64,
}

impl Revocations {
    /// Adds revocations in the order in which they were made.
    pub fn learn(&self, revocations: &[Revocation], now: Timestamp) {
        if revocations.is_empty() {
            return;
        }
        let mut reasons = self.reasons.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            match revocation.reason {
                Reason::PlayerUnbanned => drop(reasons.remove(&revocation.subject)),
                reason => drop(reasons.insert(revocation.subject, (reason, now))),
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Replaces all revocations by those of a database of another epoch.
    pub fn restart(&self, revocations: &[Revocation], now: Timestamp) {
        self.reasons.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.learn(revocations, now);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A number that rises with every revocation. While it is unchanged, a session that was checked need not be checked
    /// again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Adds a revocation.
    pub fn note(&self, subject: Uuid, reason: Reason, now: Timestamp) {
        self.learn(&[Revocation { subject, reason }], now);
    }

    /// Why a session or player is rejected; `None` if it is not.
    pub fn reason(&self, subject: Uuid) -> Option<Reason> {
        let reasons = self.reasons.read().unwrap_or_else(PoisonError::into_inner);
        reasons.get(&subject).map(|&(reason, _)| reason)
    }

    /// Removes revocations that were added before `before`: the access tokens that they reject have expired.
    pub fn forget_before(&self, before: Timestamp) {
        let mut reasons = self.reasons.write().unwrap_or_else(PoisonError::into_inner);
        reasons.retain(|_, &mut (_, added_at)| added_at >= before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_revocation_counts_and_old_ones_are_removed() {
        let (revocations, player) = (Revocations::default(), Uuid::from_u128(rand::random()));
        let at = Timestamp::from_micros;
        revocations.note(player, Reason::PlayerBanned, at(1));
        assert_eq!(revocations.reason(player), Some(Reason::PlayerBanned));
        revocations.note(player, Reason::PlayerUnbanned, at(2));
        assert_eq!(revocations.reason(player), None);
        revocations.note(player, Reason::PlayerBanned, at(3));
        revocations.forget_before(at(4));
        assert_eq!(revocations.reason(player), None);
    }
}
