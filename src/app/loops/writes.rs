//! Checks whether the database accepts writes.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::Server;
use crate::health::WritesHealth;
use crate::store::Refusal;

const INTERVAL: Duration = Duration::from_secs(1);

impl Server {
    /// Checks once a second whether the database accepts writes. Never returns. While writes are accepted, the check
    /// sends nothing, because other statements and the poller detect a change. While they are refused, it tries a small
    /// write.
    pub async fn watch_writes(&self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let refusal = self.store.check_writes().await;
            let writes = refusal.map_or(WritesHealth::Accepted, |refusal| match refusal {
                Refusal::ReadOnly => WritesHealth::ReadOnly,
                Refusal::Disk => WritesHealth::DiskFault,
            });
            if self.health.writes() != writes {
                match writes {
                    WritesHealth::Accepted => tracing::info!("the database accepts writes again"),
                    WritesHealth::ReadOnly => tracing::error!("the database is read-only"),
                    WritesHealth::DiskFault => {
                        tracing::error!("the database's disk is full or faulty");
                    }
                }
                self.health.note_writes(writes);
            }
            let writable = refusal.is_none() && self.health.database_latency().is_some();
            self.metrics.database_writable.set(i64::from(writable));
        }
    }
}
