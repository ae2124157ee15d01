//! Reading a player.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::request::Request;
use super::{Error, Game};
use crate::cache::CacheHandle;
use crate::domain::{Command, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::players::PlayerRecord;

/// A player at an instant.
#[derive(Clone, Debug)]
pub struct State {
    /// The player's row.
    pub record: Arc<PlayerRecord>,
    /// The epoch of the database that the row is of: as long as it lasts, the player's version only rises.
    pub epoch: Epoch,
    pub timeline: Arc<Timeline>,
    pub now: Timestamp,
    /// The handle of the player's cache entry.
    pub handle: CacheHandle,
}

impl Game {
    /// A player's state, for the player itself: being there is noted once a minute, else nothing is written.
    ///
    /// # Errors
    /// [`Error::NoSuchPlayer`] or [`Error::Banned`].
    pub async fn state(&self, handle: &CacheHandle) -> Result<State, Error> {
        let state = self.look(handle).await?;
        if state.record.banned {
            return Err(Error::Banned);
        }
        if handle.is_noteworthy(state.now) {
            self.seen.note(&state.record, state.now);
        }
        if !state.record.player.presence_is_due(state.now) {
            return Ok(state);
        }
        // Apart, so that most reads do not carry its state about.
        match Box::pin(self.perform(Request::of(handle, Command::Arrive))).await {
            Ok(answer) => Ok(self.state_after(&answer, handle)),
            Err(error @ (Error::NoSuchPlayer | Error::Banned)) => Err(error),
            // What was read is still right; presence is noted with the next request.
            Err(_) => Ok(state),
        }
    }

    /// A player's state, for others.
    ///
    /// # Errors
    /// [`Error::NoSuchPlayer`].
    pub async fn look_up(&self, player: Uuid) -> Result<State, Error> {
        self.look(&self.handle(player)).await
    }

    /// A player's place in the cache, for whoever comes back.
    pub fn handle(&self, player: Uuid) -> CacheHandle {
        self.players.handle(player)
    }

    async fn look(&self, handle: &CacheHandle) -> Result<State, Error> {
        let timeline = self.catalogues.timeline()?;
        let mut epoch = self.players.epoch();
        loop {
            let instant = Instant::now();
            let record = self.players.get(handle, instant).await;
            let record = record.map_err(|error| Error::from_store(&error))?;
            let present = self.players.epoch();
            if present == epoch {
                let record = record.ok_or(Error::NoSuchPlayer)?;
                let (now, handle) = (self.clock.at(instant), handle.clone());
                return Ok(State { record, epoch, timeline, now, handle });
            }
            // The epoch changed while the row was read, or by what was read: it may be of either.
            epoch = present;
        }
    }
}
