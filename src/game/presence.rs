//! Recording that a player is present.

use super::Game;
use super::request::Request;
use crate::cache::CacheHandle;
use crate::domain::Command;

impl Game {
    /// Records a request that neither reads the player's state nor changes it, so that this time does not count as an
    /// absence. Does not wait for the write.
    pub fn note_presence(&self, handle: &CacheHandle) {
        let now = self.clock.now();
        // Once a second suffices, so most requests return here.
        if !handle.is_presence_due(now) {
            return;
        }
        let (player, mut is_due) = (handle.player(), true);
        // The cached row may be outdated. Then the command finds that the presence is already stored and changes
        // nothing.
        if let Some((record, _)) = self.players.base(player, Some(handle)) {
            self.seen.note(&record, now);
            is_due = record.player.presence_is_due(now);
        }
        if is_due {
            self.lanes.submit_unanswered(Request::of(handle, Command::Arrive));
        }
    }
}
