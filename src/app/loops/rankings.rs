//! The upkeep of the rankings: publishing and rebuilding. Every instance does its part, as it alone knows whom it saw, and
//! boards in its own memory are nobody else's. Final standings are made by a job.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::app::Server;
use crate::rankings::{Error, Unavailable};

/// Between two publications. With the second for which pages are kept it is well below the ten that scores may be old.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(4);
/// How often it is asked whether the boards have to be built anew, where nobody asks for it before.
const REBUILD_INTERVAL: Duration = Duration::from_secs(15);
/// Between two rebuilds at the least, and two attempts. After a rebuild that took longer, the pause is as long as that: boards
/// that are lost again and again, as Redis has too little memory for them, occupy Postgres for half of the time at most.
const REBUILD_PAUSE: Duration = Duration::from_millis(500);

impl Server {
    /// Looks after the rankings, for ever. Who answers no requests sees nobody, and has no use for boards in its memory.
    pub async fn keep_rankings(&self) {
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
            note("publishing", self.rankings.publish().await);
        }
    }

    async fn keep_rebuilding(&self) {
        loop {
            let began = Instant::now();
            let rebuilt = self.rankings.rebuild_if_due().await;
            let has_read =
                matches!(rebuilt, Ok(Some(_)) | Err(Error::Unavailable(Unavailable::CutShort)));
            let pause = if has_read { began.elapsed() } else { Duration::ZERO };
            note("rebuilding", rebuilt);
            // Every request that finds the boards wanting asks for a rebuild.
            sleep(pause.max(REBUILD_PAUSE)).await;
            // Who waits in vain asks all the same: others may have died of their rebuild.
            drop(timeout(REBUILD_INTERVAL, self.rankings.wanted()).await);
        }
    }
}

fn note<T>(what: &'static str, result: Result<T, Error>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed and is tried again soon");
    }
}
