//! Changes of a player by other means than a commit of commands.

use std::time::Instant;

use uuid::Uuid;

use super::Players;
use super::encoding::Change;
use super::minimum::{GONE, Minimum};

/// A change of a player by other means than a commit of commands. What was read before it ends is not served afterwards,
/// by this instance at once and by the others once they hear of it. Dropped without being confirmed, as after an error or
/// where the client hung up, it may still be carried out.
pub struct InvalidationGuard {
    players: Players,
    player: Uuid,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Known,
    Gone,
}

impl Players {
    /// A player is about to be changed by other means than a commit of commands. Once what this returns is confirmed or
    /// dropped, nothing that was read before is served any more.
    pub fn invalidate(&self, player: Uuid) -> InvalidationGuard {
        InvalidationGuard { players: self.clone(), player, outcome: Outcome::Unknown }
    }
}

impl InvalidationGuard {
    /// What became of it is known: it was committed, or nothing was changed.
    pub fn confirm(mut self) {
        self.outcome = Outcome::Known;
    }

    /// The player was deleted.
    pub fn gone(mut self) {
        self.outcome = Outcome::Gone;
    }
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let Self { players, player, outcome } = self;
        let (player, now) = (*player, Instant::now());
        let (minimum, change) = match outcome {
            Outcome::Unknown => (Minimum::of_unguarded_fate(now), Change::Unsettled(player, None)),
            Outcome::Known => (Minimum::of_change(now), Change::Touched(player)),
            Outcome::Gone => (Minimum::of_revision(GONE, now), Change::Gone(player)),
        };
        let gone = *outcome == Outcome::Gone;
        players.raise(player, minimum);
        players.0.changes.publish_now(change);
        if let Some(remote) = players.0.remote.clone()
            && let Some(identity) = players.0.identity.current()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if gone {
                    remote.put_gone(identity, player).await;
                } else {
                    remote.remove(identity, player).await;
                }
            });
        }
    }
}
