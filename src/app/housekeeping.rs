//! Throwing away what has lapsed. Every instance does it now and then; doing it twice does no harm.

use std::time::Duration;

use super::Server;
use crate::store;

const INTERVAL: Duration = Duration::from_mins(1);

/// Revocations are kept this much longer than the access tokens that they are about, in seconds.
const MARGIN_SECONDS: f64 = 600.0;

impl Server {
    /// Cleans up once a minute, for ever.
    pub async fn keep_house(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.limiter.forget();
            if let Err(error) = self.clean_up().await {
                tracing::warn!(%error, "cleaning up failed and is tried again in a minute");
            }
        }
    }

    /// Cleans up once.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn clean_up(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let horizon = self.accounts.access_token_ttl().as_secs_f64() + MARGIN_SECONDS;
        let horizon = now.plus_seconds(-horizon);
        self.accounts.revocations().forget_before(horizon);
        let revocations = self.store.purge_revocations(horizon).await?;
        let sessions = self.store.purge_sessions(now).await?;
        let slots = self.store.empty_idle_slots(now).await?;
        tracing::debug!(revocations, sessions, slots, "cleaned up");
        Ok(())
    }
}
