//! Reading a player.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::request::Request;
use super::{Error, Game};
use crate::cache::Seat;
use crate::domain::{Command, Timeline, Timestamp};
use crate::store::players::PlayerRecord;

/// A player at an instant.
#[derive(Clone, Debug)]
pub struct State {
    /// The player's row.
    pub record: Arc<PlayerRecord>,
    pub timeline: Arc<Timeline>,
    pub now: Timestamp,
}

impl Game {
    /// A player's state, for the player itself: being there is noted once a minute, else nothing is written.
    ///
    /// # Errors
    /// [`Error::NoSuchPlayer`] or [`Error::Banned`].
    pub async fn state(&self, seat: &Seat) -> Result<State, Error> {
        let state = self.look(seat).await?;
        if state.record.banned {
            return Err(Error::Banned);
        }
        if seat.is_noteworthy(state.now) {
            self.seen.note(&state.record, state.now);
        }
        if !state.record.player.presence_is_due(state.now) {
            return Ok(state);
        }
        // Apart, so that most reads do not carry its state about.
        match Box::pin(self.perform(Request::of(seat, Command::Arrive))).await {
            Ok(answer) => Ok(self.state_after(&answer)),
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
        self.look(&self.seat(player)).await
    }

    /// A player's place in the cache, for whoever comes back.
    pub fn seat(&self, player: Uuid) -> Seat {
        self.players.seat(player)
    }

    async fn look(&self, seat: &Seat) -> Result<State, Error> {
        let timeline = self.catalogues.timeline()?;
        let instant = Instant::now();
        let now = self.clock.at(instant);
        let record =
            self.players.get(seat, instant).await.map_err(|error| Error::from_store(&error))?;
        Ok(State { record: record.ok_or(Error::NoSuchPlayer)?, timeline, now })
    }
}
