//! Removes expired entries from the memory of this process. Jobs remove them from the database.

use std::time::Duration;

use crate::app::Server;
use crate::telemetry::client_errors;

const INTERVAL: Duration = Duration::from_mins(1);

/// Seconds for which a revocation is kept after the access tokens that it concerns have expired.
const MARGIN_SECONDS: f64 = 600.0;

impl Server {
    /// Cleans up once a minute. Never returns.
    pub async fn run_housekeeping(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.limiter.forget();
            self.clean_up();
            if let Some(reason) = client_errors::take_accept_failure() {
                tracing::warn!(
                    reason,
                    "connections could not be accepted in the last minute: raise the limit of open files (ulimit -n), or limit \
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
