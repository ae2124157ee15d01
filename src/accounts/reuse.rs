//! Telling a refresh token that was replaced from one that never was.
//!
//! To check an old token costs a step for each time that its session was refreshed since, so whoever knows a session could
//! have tokens checked that it makes up. Each session has an allowance of such steps. Beyond it a token is taken for an old
//! one unchecked: a real one is never overlooked, and only who holds a token of the session can end it so.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Error;
use super::refresh_token::RefreshToken;
use crate::domain::Timestamp;
use crate::generations::Generations;
use crate::store::sessions::SessionRecord;

/// Steps that the tokens of one session may cost within [`MEMORY_SECONDS`]: some 20 ms of a processor, and more refreshes
/// than half a year of play.
const ALLOWANCE: u32 = 20_000;
/// For how many seconds after the first of them steps count.
const MEMORY_SECONDS: f64 = 600.0;
/// Sessions whose steps are remembered with certainty.
const MAX_SESSIONS: usize = 10_000;
/// More steps than this are not taken on a thread that answers requests.
const STEPS_AT_ONCE: u32 = 64;

/// Checks tokens that are not, or no longer, their session's own.
pub(super) struct ReuseChecks {
    spent: Mutex<Generations<Uuid, Spent>>,
    /// Long checks are made one at a time.
    long: Arc<Semaphore>,
}

/// What a session's tokens have cost.
#[derive(Clone, Copy)]
struct Spent {
    steps: u32,
    since: Timestamp,
}

impl Default for ReuseChecks {
    fn default() -> Self {
        let spent = Mutex::new(Generations::new(MAX_SESSIONS));
        Self { spent, long: Arc::new(Semaphore::new(1)) }
    }
}

impl ReuseChecks {
    /// Whether `token` was one of `session` and has been replaced, or can no longer be told from such a one.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where the process ends meanwhile.
    pub(super) async fn is_reused(
        &self,
        token: &RefreshToken,
        session: &SessionRecord,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let steps = session.generation.unsigned_abs().saturating_sub(token.generation);
        if steps == 0 {
            return Ok(false);
        }
        if !self.allows(token.identity.session, steps, now) {
            return Ok(true);
        }
        if steps <= STEPS_AT_ONCE {
            return Ok(token.leads_to(&session.chain_key, steps, &session.refresh_hash));
        }
        let turn = Arc::clone(&self.long).acquire_owned().await.map_err(|_| Error::Overloaded)?;
        let (token, session) = (token.clone(), session.clone());
        let check = move || {
            let _turn = turn;
            token.leads_to(&session.chain_key, steps, &session.refresh_hash)
        };
        tokio::task::spawn_blocking(check).await.map_err(|_| Error::Overloaded)
    }

    /// Whether the session's allowance covers `steps` more, which are taken from it before they are made: those who ask
    /// together do not get more.
    fn allows(&self, session: Uuid, steps: u32, now: Timestamp) -> bool {
        let mut sessions = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |spent: &Spent| now.seconds_since(spent.since).abs() < MEMORY_SECONDS;
        let known = sessions.get(session).copied().filter(lately);
        let Spent { steps: before, since } = known.unwrap_or(Spent { steps: 0, since: now });
        let steps = before.saturating_add(steps);
        sessions.insert(session, Spent { steps, since });
        steps <= ALLOWANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_micros(0).plus_seconds(seconds)
    }

    #[test]
    fn a_session_has_an_allowance_that_comes_back() {
        let (checks, session) = (ReuseChecks::default(), Uuid::from_u128(1));
        assert!(checks.allows(session, ALLOWANCE - 1, at(0.0)));
        assert!(checks.allows(session, 1, at(0.0)));
        assert!(!checks.allows(session, 1, at(599.0)));
        assert!(checks.allows(Uuid::from_u128(2), ALLOWANCE, at(599.0)), "it is another's");
        assert!(checks.allows(session, ALLOWANCE, at(600.0)));
    }

    #[test]
    fn more_steps_than_the_allowance_are_never_made() {
        let checks = ReuseChecks::default();
        assert!(!checks.allows(Uuid::from_u128(1), ALLOWANCE + 1, at(0.0)));
        assert!(!checks.allows(Uuid::from_u128(2), u32::MAX, at(0.0)));
        assert!(!checks.allows(Uuid::from_u128(2), u32::MAX, at(0.0)));
    }
}
