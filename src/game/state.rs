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
    /// The epoch of the database to which the row belongs. Within an epoch the player's version never falls.
    pub epoch: Epoch,
    pub timeline: Arc<Timeline>,
    pub now: Timestamp,
    /// The handle of the player's cache entry.
    pub handle: CacheHandle,
}

impl Game {
    /// A player's state, read by the player itself. About once a minute this stores that the player is present;
    /// otherwise nothing is written.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`] or [`Error::Banned`].
    pub async fn state(&self, handle: &CacheHandle) -> Result<State, Error> {
        let state = self.read(handle).await?;
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
            // The row that was read is still valid. A later request stores the presence.
            Err(_) => Ok(state),
        }
    }

    /// A player's state, read by another player or an operator.
    ///
    /// # Errors
    /// Returns [`Error::NoSuchPlayer`].
    pub async fn look_up(&self, player: Uuid) -> Result<State, Error> {
        self.read(&self.handle(player)).await
    }

    /// A handle of the player's cache entry. With it further calls need not search the cache.
    pub fn handle(&self, player: Uuid) -> CacheHandle {
        self.players.handle(player)
    }

    async fn read(&self, handle: &CacheHandle) -> Result<State, Error> {
        let timeline = self.catalogues.timeline()?;
        let mut epoch = self.players.epoch();
        loop {
            let instant = Instant::now();
            let record = self.players.get(handle, instant).await;
            let record = record.map_err(|error| Error::from_store(&error))?;
            let current = self.players.epoch();
            if current == epoch {
                let record = record.ok_or(Error::NoSuchPlayer)?;
                let (now, handle) = (self.clock.at(instant), handle.clone());
                return Ok(State { record, epoch, timeline, now, handle });
            }
            // The epoch changed while the row was read, so the row may belong to either epoch.
            epoch = current;
        }
    }
}
