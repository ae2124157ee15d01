//! Noting that a player is there.

use super::Game;
use super::request::Request;
use crate::cache::CacheHandle;
use crate::domain::Command;

impl Game {
    /// Notes that a player made a request that neither reads its state nor changes it, so that this time does not count
    /// as an absence. Does not wait for the write.
    pub fn note_presence(&self, handle: &CacheHandle) {
        let now = self.clock.now();
        // Once a second is enough; most requests return here.
        if !handle.is_presence_due(now) {
            return;
        }
        let (player, mut is_due) = (handle.player(), true);
        // The row may be out of date. In that case the command finds that the presence is stored already, and changes
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
