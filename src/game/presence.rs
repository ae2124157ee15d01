//! Noting that a player is there.

use super::Game;
use super::request::Request;
use crate::cache::CacheHandle;
use crate::domain::Command;

impl Game {
    /// Notes a request of a player that neither reads its state nor changes it, so that the time does not count as an
    /// absence. Does not wait for anything.
    pub fn note_presence(&self, handle: &CacheHandle) {
        let now = self.clock.now();
        // Once a second suffices, and spares most requests the rest.
        if !handle.is_noteworthy(now) {
            return;
        }
        let (player, mut is_due) = (handle.player(), true);
        // The row may be out of date. The command then finds that the player is already noted, and changes nothing.
        if let Some((record, _)) = self.players.base(player, Some(handle)) {
            self.seen.note(&record, now);
            is_due = record.player.presence_is_due(now);
        }
        if is_due {
            self.lanes.submit_unanswered(Request::of(handle, Command::Arrive));
        }
    }
}
