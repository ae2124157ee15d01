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

/// A player at a point in time.
#[derive(Clone, Debug)]
pub struct State {
    /// The player's row.
    pub record: Arc<PlayerRecord>,
    /// The epoch of the database to which the row belongs. Within an epoch the player's version only rises.
    pub epoch: Epoch,
    pub timeline: Arc<Timeline>,
    pub now: Timestamp,
    /// The handle of the player's cache entry.
    pub handle: CacheHandle,
}

impl Game {
    /// A player's state for the player itself. Its presence is stored about once a minute; otherwise nothing is
    /// written.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`] or [`Error::Banned`].
    pub async fn state(&self, handle: &CacheHandle) -> Result<State, Error> {
        let state = self.look(handle).await?;
        if state.record.banned {
            return Err(Error::Banned);
        }
        if handle.is_presence_due(state.now) {
            self.seen.note(&state.record, state.now);
        }
        if !state.record.player.presence_is_due(state.now) {
            return Ok(state);
        }
        // Boxed, so that the future of most reads stays small.
        match Box::pin(self.perform(Request::of(handle, Command::Arrive))).await {
            Ok(answer) => Ok(self.state_after(&answer, handle)),
            Err(error @ (Error::NoSuchPlayer | Error::Banned)) => Err(error),
            // The row is still right. The presence is stored with the next request.
            Err(_) => Ok(state),
        }
    }

    /// A player's state for others.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`].
    pub async fn look_up(&self, player: Uuid) -> Result<State, Error> {
        self.look(&self.handle(player)).await
    }

    /// A handle of the player's cache entry, for callers that come back.
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
            // The epoch changed while the row was read, so the row may belong to either epoch.
            epoch = present;
        }
    }
}
