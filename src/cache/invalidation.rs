//! Cache invalidation for changes of a player that are not made by a lane's commit.

use std::time::Instant;

use uuid::Uuid;

use super::Players;
use super::encoding::Change;
use super::minimum::{Minimum, TOMBSTONE};

/// Accompanies a change of a player that is not made by a lane's commit. When the guard is confirmed or dropped, rows
/// that were read before are no longer served: by this instance at once, by other instances when they receive the
/// announcement. Dropping the guard without a confirmation, for example after an error or when the client closes its
/// connection, means that the outcome is unknown: the database may still execute the change.
pub struct InvalidationGuard {
    players: Players,
    player: Uuid,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Known,
    Deleted,
}

impl Players {
    /// Call this before a change of a player that is not made by a lane's commit, and confirm the returned guard when
    /// the outcome is known.
    pub fn invalidate(&self, player: Uuid) -> InvalidationGuard {
        InvalidationGuard { players: self.clone(), player, outcome: Outcome::Unknown }
    }
}

impl InvalidationGuard {
    /// Reports a known outcome: the change was committed, or nothing was changed.
    pub fn confirm(mut self) {
        self.outcome = Outcome::Known;
    }

    /// Reports that the player was deleted.
    pub fn confirm_deleted(mut self) {
        self.outcome = Outcome::Deleted;
    }
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let Self { players, player, outcome } = self;
        let (player, now) = (*player, Instant::now());
        let (minimum, change) = match outcome {
            Outcome::Unknown => (Minimum::of_unguarded_write(now), Change::Unsettled(player, None)),
            Outcome::Known => (Minimum::of_change(now), Change::Touched(player)),
            Outcome::Deleted => (Minimum::of_revision(TOMBSTONE, now), Change::Deleted(player)),
        };
        let is_deleted = *outcome == Outcome::Deleted;
        players.raise(player, minimum);
        players.0.watches.changed([player]);
        players.0.changes.publish_now(change);
        if let Some(remote) = players.0.remote.clone()
            && let Some(identity) = players.0.identity.current()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if is_deleted {
                    remote.put_tombstone(identity, player).await;
                } else {
                    remote.remove(identity, player).await;
                }
            });
        }
    }
}
