//! Who has been noted as present lately, so that reading does not note it again with each request.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::Game;
use super::request::Request;
use crate::domain::{AWAY_AFTER_SECONDS, Command, PRESENCE_SECONDS, Timestamp};
use crate::generations::Generations;

/// Players in each of the two generations, which take 13 MB when both are full. A player who is forgotten early is noted
/// once more, which is harmless.
const MAX_PLAYERS: usize = 1 << 17;

/// How long, in seconds, a note holds. It may have come just before the row was due and so have written nothing: the
/// next one must come before the row is old enough to look like an absence.
const NOTE_SECONDS: f64 = AWAY_AFTER_SECONDS - PRESENCE_SECONDS;

/// When players were last noted as present by this process.
#[derive(Debug)]
pub(super) struct Presence(Mutex<Noted>);

#[derive(Debug)]
struct Noted {
    players: Generations<Uuid, Timestamp>,
    /// When the generations last turned.
    turned_at: Option<Timestamp>,
}

impl Default for Presence {
    fn default() -> Self {
        Self(Mutex::new(Noted { players: Generations::new(MAX_PLAYERS), turned_at: None }))
    }
}

impl Presence {
    /// Whether a player who is there at `now` has to be noted, and takes it for done.
    fn is_due(&self, player: Uuid, now: Timestamp) -> bool {
        // A note from the future was made before the clock was set back; it counts as old.
        let recent = |at: Timestamp| now.seconds_since(at).abs() < NOTE_SECONDS;
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Noted { players, turned_at } = &mut *noted;
        if !turned_at.is_some_and(recent) {
            players.turn();
            *turned_at = Some(now);
        }
        match players.get(player) {
            Some(at) if recent(*at) => return false,
            Some(at) => *at = now,
            None => players.insert(player, now),
        }
        true
    }
}

impl Game {
    /// Notes that a player is there, for requests that neither read the state nor change it; nobody waits for it.
    pub fn note_presence(&self, player: Uuid) {
        if self.presence.is_due(player, self.clock.now()) {
            self.lanes.submit_unanswered(Request::new(player, Command::Arrive));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_player_is_not_noted_again_because_of_many_others() {
        let presence = Presence::default();
        let (player, at) = (Uuid::from_u128(0), |micros| Timestamp::from_micros(micros));
        assert!(presence.is_due(player, at(0)));
        for other in 1..=100_000 {
            assert!(presence.is_due(Uuid::from_u128(other), at(90 * other as i64)));
        }
        assert!(!presence.is_due(player, at(9_999_999)));
        assert!(!presence.is_due(Uuid::from_u128(1), at(9_999_999)));
        assert!(presence.is_due(player, at(10_000_000)));
    }

    #[test]
    fn the_number_of_remembered_players_is_bounded() {
        let (presence, now) = (Presence::default(), Timestamp::from_micros(0));
        for player in 0..3 * MAX_PLAYERS {
            assert!(presence.is_due(Uuid::from_u128(player as u128), now));
            let noted = presence.0.lock().expect("whole").players.len();
            assert!(noted <= 2 * MAX_PLAYERS, "{noted} players are remembered");
        }
    }

    #[test]
    fn notes_from_before_the_clock_was_set_back_do_not_count() {
        let (presence, player) = (Presence::default(), Uuid::from_u128(7));
        let at = |seconds| Timestamp::from_micros(0).plus_seconds(seconds);
        assert!(presence.is_due(player, at(3600.0)));
        assert!(presence.is_due(player, at(0.0)));
        assert!(!presence.is_due(player, at(9.0)));
    }

    proptest! {
        #[test]
        fn a_player_is_due_as_often_as_its_span_passes(
            visits in prop::collection::vec((0..6u128, 0.0..15.0f64), 0..200),
        ) {
            let (presence, mut now) = (Presence::default(), Timestamp::from_micros(0));
            let mut noted = [None::<Timestamp>; 6];
            for (player, pause) in visits {
                now = now.plus_seconds(pause);
                let last = &mut noted[player as usize];
                let expected = last.is_none_or(|at| now.seconds_since(at) >= NOTE_SECONDS);
                prop_assert_eq!(presence.is_due(Uuid::from_u128(player), now), expected);
                if expected {
                    *last = Some(now);
                }
            }
        }
    }
}
