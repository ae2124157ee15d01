//! The upkeep of the rankings: publishing and rebuilding. Every instance takes part, because it alone knows which
//! players it saw, and boards in its memory serve no other instance. A job makes the final standings.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::app::Server;
use crate::rankings::{Error, Unavailable};

/// The interval of publications. Together with the second for which pages are kept it is well below the ten seconds
/// that scores may be old.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(4);
/// How often to check whether the boards must be rebuilt, if nothing asks for it before.
const REBUILD_INTERVAL: Duration = Duration::from_secs(15);
/// The shortest pause between two rebuilds and between two attempts. After a rebuild that took longer, the pause is as
/// long as the rebuild: boards that are lost repeatedly, because Redis has too little memory for them, use Postgres for
/// at most half of the time.
const REBUILD_PAUSE: Duration = Duration::from_millis(500);

impl Server {
    /// Publishes and rebuilds. Never returns. An instance that serves no requests sees no players and needs no boards
    /// in its memory.
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
            note("publishing", self.rankings.publish().await);
        }
    }

    async fn keep_rebuilding(&self) {
        loop {
            let began = Instant::now();
            let rebuilt = self.rankings.rebuild_if_due().await;
            let has_read =
                matches!(rebuilt, Ok(Some(_)) | Err(Error::Unavailable(Unavailable::Interrupted)));
            let pause = if has_read { began.elapsed() } else { Duration::ZERO };
            note("rebuilding", rebuilt);
            // Every request that finds the boards incomplete asks for a rebuild.
            sleep(pause.max(REBUILD_PAUSE)).await;
            // Checks after a time-out too, because another instance may have crashed during its rebuild.
            drop(timeout(REBUILD_INTERVAL, self.rankings.wanted()).await);
        }
    }
}

fn note<T>(what: &'static str, result: Result<T, Error>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed and is retried soon");
    }
}
