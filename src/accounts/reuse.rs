//! Distinguishing a replaced refresh token from a forged one, at a bounded cost.
//!
//! Checking an old token costs one step (an HMAC) for each refresh since that token. So a client that knows the ids in
//! a session's tokens could keep the server busy with forged tokens. Each session therefore has an allowance of steps.
//! If a check would exceed it, the token counts as replaced without a check. So every genuine old token is still
//! detected, and only a client that knows those ids can end a session with forged tokens.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Error;
use super::refresh_token::RefreshToken;
use crate::domain::Timestamp;
use crate::generations::Generations;
use crate::store::sessions::SessionRecord;

/// Steps that checking the tokens of one session may cost within [`ALLOWANCE_SECONDS`]: about 20 ms of processor time.
/// A session that is refreshed every 15 minutes has this many generations after 200 days.
const ALLOWANCE: u32 = 20_000;
/// Seconds from the first step that a session was charged until its allowance is full again.
const ALLOWANCE_SECONDS: f64 = 600.0;
/// Sessions in each of the two generations of [`Generations`].
const MAX_SESSIONS: usize = 10_000;
/// Checks with more steps than this run on the blocking pool, so that they do not delay other requests.
const MAX_INLINE_STEPS: u32 = 64;

/// Checks tokens that are not the current one of their session.
pub(super) struct ReuseChecks {
    spent: Mutex<Generations<Uuid, Spent>>,
    /// One permit, so that long checks run one at a time.
    long: Arc<Semaphore>,
}

/// Steps that were charged to a session.
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
    /// Whether `token` is an old token of `session`. Also true if the session's allowance does not cover the check.
    ///
    /// # Errors
    /// Returns [`Error::Overloaded`] if the runtime shuts down during the check.
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
        if steps <= MAX_INLINE_STEPS {
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

    /// Charges `steps` to the session and returns whether its allowance covers them. They are charged before the check,
    /// so that concurrent calls cannot exceed the allowance.
    fn allows(&self, session: Uuid, steps: u32, now: Timestamp) -> bool {
        let mut sessions = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |spent: &Spent| now.seconds_since(spent.since).abs() < ALLOWANCE_SECONDS;
        let known = sessions.get(session).copied().filter(is_recent);
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
    fn the_allowance_of_a_session_is_renewed() {
        let (checks, session) = (ReuseChecks::default(), Uuid::from_u128(1));
        assert!(checks.allows(session, ALLOWANCE - 1, at(0.0)));
        assert!(checks.allows(session, 1, at(0.0)));
        assert!(!checks.allows(session, 1, at(599.0)));
        assert!(
            checks.allows(Uuid::from_u128(2), ALLOWANCE, at(599.0)),
            "each session has its own allowance"
        );
        assert!(checks.allows(session, ALLOWANCE, at(600.0)));
    }

    #[test]
    fn a_check_of_more_steps_than_the_allowance_is_refused() {
        let checks = ReuseChecks::default();
        assert!(!checks.allows(Uuid::from_u128(1), ALLOWANCE + 1, at(0.0)));
        assert!(!checks.allows(Uuid::from_u128(2), u32::MAX, at(0.0)));
        assert!(!checks.allows(Uuid::from_u128(2), u32::MAX, at(0.0)));
    }
}
