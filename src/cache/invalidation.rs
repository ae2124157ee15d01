//! Changes of a player other than by a lane's commit.

use std::time::Instant;

use uuid::Uuid;

use super::Players;
use super::encoding::Change;
use super::minimum::{Minimum, TOMBSTONE};

/// Marks a change of a player other than by a lane's commit. When it is confirmed or dropped, rows that were read
/// before are no longer served: by this instance at once, by others when they receive the announcement. If it is
/// dropped without a confirmation, as after an error or when the client closes its connection, the change may still be
/// carried out later.
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
    /// Call this before a player is changed other than by a lane's commit. When the returned guard is confirmed or
    /// dropped, rows that were read before are no longer served.
    pub fn invalidate(&self, player: Uuid) -> InvalidationGuard {
        InvalidationGuard { players: self.clone(), player, outcome: Outcome::Unknown }
    }
}

impl InvalidationGuard {
    /// The outcome is known: the change was committed, or nothing was changed.
    pub fn confirm(mut self) {
        self.outcome = Outcome::Known;
    }

    /// The player was deleted.
    pub fn confirm_deleted(mut self) {
        self.outcome = Outcome::Deleted;
    }
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let Self { players, player, outcome } = self;
        let (player, now) = (*player, Instant::now());
        let (minimum, change) = match outcome {
            Outcome::Unknown => (Minimum::of_unguarded_fate(now), Change::Unsettled(player, None)),
            Outcome::Known => (Minimum::of_change(now), Change::Touched(player)),
            Outcome::Deleted => (Minimum::of_revision(TOMBSTONE, now), Change::Deleted(player)),
        };
        let is_deleted = *outcome == Outcome::Deleted;
        players.raise(player, minimum);
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
