//! Who has been noted as present lately, so that reading does not note it again with each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::Game;
use super::request::Request;
use crate::domain::{AWAY_AFTER_SECONDS, Command, PRESENCE_SECONDS, Timestamp};

/// Players beyond which those noted long ago are forgotten.
const MAX_NOTED: usize = 20_000;

/// How long, in seconds, a note holds. It may have come just before the row was due and so have written nothing: the
/// next one must come before the row is old enough to look like an absence.
const NOTE_SECONDS: f64 = AWAY_AFTER_SECONDS - PRESENCE_SECONDS;

/// When players were last noted as present by this process.
#[derive(Debug, Default)]
pub(super) struct Presence {
    noted: Mutex<HashMap<Uuid, Timestamp>>,
}

impl Presence {
    /// Whether a player who is there at `now` has to be noted, and takes it for done.
    fn is_due(&self, player: Uuid, now: Timestamp) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: Timestamp| now.seconds_since(at) < NOTE_SECONDS;
        if noted.get(&player).is_some_and(|&at| recent(at)) {
            return false;
        }
        if noted.len() >= MAX_NOTED {
            noted.retain(|_, &mut at| recent(at));
        }
        noted.insert(player, now);
        true
    }
}

impl Game {
    /// Notes that a player is there, for requests that neither read the state nor change it; nobody waits for it.
    pub fn note_presence(&self, player: Uuid) {
        if self.presence.is_due(player, self.clock.now()) {
            self.lanes.submit_unheard(Request::new(player, Command::Arrive));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_noted_once_in_its_span() {
        let (presence, player) = (Presence::default(), Uuid::from_u128(rand::random()));
        let at = |seconds| Timestamp::from_micros(0).plus_seconds(seconds);
        assert!(presence.is_due(player, at(0.0)));
        assert!(!presence.is_due(player, at(9.0)));
        assert!(presence.is_due(player, at(10.0)));
        assert!(presence.is_due(Uuid::from_u128(rand::random()), at(10.0)));
    }
}
