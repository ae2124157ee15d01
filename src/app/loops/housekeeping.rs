//! Forgetting what has lapsed in this process' memory; what has lapsed in the database is forgotten by jobs.

use std::time::Duration;

use crate::app::Server;
use crate::telemetry::strangers;

const INTERVAL: Duration = Duration::from_mins(1);

/// Revocations are remembered this much longer than the access tokens that they are about, in seconds.
const MARGIN_SECONDS: f64 = 600.0;

impl Server {
    /// Cleans up once a minute, for ever.
    pub async fn keep_house(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.limiter.forget();
            self.clean_up();
            if let Some(reason) = strangers::take_accept_failure() {
                tracing::warn!(
                    reason,
                    "connections could not be taken in the last minute: raise the limit of open files (ulimit -n), or bound \
                     connections at the proxy"
                );
            }
        }
    }

    /// Cleans up once.
    pub fn clean_up(&self) {
        let horizon = self.accounts.access_token_ttl().as_secs_f64() + MARGIN_SECONDS;
        self.accounts.revocations().forget_before(self.clock.now().plus_seconds(-horizon));
    }
}
