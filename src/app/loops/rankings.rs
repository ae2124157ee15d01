//! The maintenance of the rankings: publishing scores and rebuilding boards. Every instance does this, because only it
//! knows which players it served, and no other instance can use the boards in its memory. A job makes the final
//! standings.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::app::Server;
use crate::rankings::{Error, Unavailable};

/// The interval of publications. Scores may be ten seconds old; the interval and the second for which pages are cached
/// are well below that.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(4);
/// How often to check whether the boards must be rebuilt, unless something requests it earlier.
const REBUILD_INTERVAL: Duration = Duration::from_secs(15);
/// The shortest pause between two attempts to rebuild. After an attempt that took longer, the pause is as long as the
/// attempt, so that rebuilding occupies Postgres for at most half of the time if the boards are lost repeatedly, for
/// example because Redis has too little memory.
const REBUILD_PAUSE: Duration = Duration::from_millis(500);

impl Server {
    /// Publishes and rebuilds. Never returns. An instance that serves no requests has no players to publish and needs
    /// no boards in its memory.
    pub async fn run_rankings(&self) {
        let publishing = async {
            if self.role.answers() {
                self.keep_publishing().await;
            }
        };
        let rebuilding = async {
            if self.role.answers() || self.redis.is_some() {
                self.keep_rebuilding().await;
            }
        };
        tokio::join!(publishing, rebuilding);
    }

    async fn keep_publishing(&self) {
        let mut ticks = interval(PUBLISH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            log_failure("publishing", self.rankings.publish().await);
        }
    }

    async fn keep_rebuilding(&self) {
        loop {
            let began = Instant::now();
            let rebuilt = self.rankings.rebuild_if_due().await;
            let was_expensive =
                matches!(rebuilt, Ok(Some(_)) | Err(Error::Unavailable(Unavailable::Interrupted)));
            let pause = if was_expensive { began.elapsed() } else { Duration::ZERO };
            log_failure("rebuilding", rebuilt);
            // Without the pause, every request that finds the boards incomplete would start a rebuild.
            sleep(pause.max(REBUILD_PAUSE)).await;
            // Checks after a time-out as well, because another instance may have crashed during its rebuild.
            drop(timeout(REBUILD_INTERVAL, self.rankings.wanted()).await);
        }
    }
}

fn log_failure<T>(what: &'static str, result: Result<T, Error>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed and will be retried");
    }
}
