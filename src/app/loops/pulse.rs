//! The question that each instance asks the database twice a second: what time it is, whether the catalogue has
//! changed, and what must not be trusted any more.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::unread::Feed;
use crate::app::Server;
use crate::health::Readiness;
use crate::store;
use crate::store::pulse::Pulse;

const INTERVAL: Duration = Duration::from_millis(500);

/// A revocation may matter for so many seconds longer than an access token is valid, as it may be made while the last one is
/// issued.
const REVOCATION_MARGIN_SECONDS: f64 = 30.0;

/// What [`Server::known_epoch`] is before the database was asked for the first time.
pub(in crate::app) const NO_EPOCH: u64 = 0;

impl Server {
    /// Asks once. `feed` says which revocations are to be read.
    async fn beat(&self, feed: &mut Feed) -> Result<(), store::Error> {
        let sent = Instant::now();
        let instance = self.peers.instance();
        if let Some(lasts) = self.peers.silence_to_note()
            && let Err(error) = self.store.note_silence(instance, lasts).await
        {
            // A database that takes no writes takes none of players either. It is tried again with the next pulse.
            tracing::debug!(%error, "it cannot be noted that changes are not announced");
            self.peers.forget_silence();
        }
        let mut pulse = self.store.pulse(instance, &feed.unread(self.clock.now())).await?;
        let epoch = self.store.identity().epoch();
        let known = self.known_epoch.load(Ordering::Relaxed);
        if known != epoch.number() {
            if known != NO_EPOCH {
                // Apart, as it is rare and large.
                feed.restart();
                pulse = Box::pin(self.begin_epoch(instance, feed)).await?;
            }
            self.known_epoch.store(epoch.number(), Ordering::Relaxed);
        }
        let received = Instant::now();
        self.clock.observe(pulse.now, sent, received);
        self.metrics.database_clock_behind.set(self.clock.behind().as_secs_f64());
        if pulse.silenced {
            self.peers.freshness().peer_cannot_announce(received);
        }
        self.accounts.revocations().learn(&pulse.revocations, self.clock.now());
        self.rankings.learn(&pulse.revocations);
        feed.note(&pulse, self.clock.now());
        self.catalogues.confirm(pulse.catalogue_version.unwrap_or(0), sent).await?;
        self.health.database_answered(received.duration_since(sent));
        self.metrics.database_up.set(1);
        Ok(())
    }

    /// Reads again everything that was kept of the database, as it was replaced or restored to an earlier state.
    async fn begin_epoch(&self, instance: Uuid, feed: &Feed) -> Result<Pulse, store::Error> {
        let identity = self.store.identity();
        tracing::warn!(epoch = %identity.epoch(), "the database was restored or replaced");
        self.peers.forget_silence();
        self.catalogues.seed().await?;
        self.catalogues.restart().await?;
        let pulse = self.store.pulse(instance, &feed.unread(self.clock.now())).await?;
        self.accounts.revocations().restart(&pulse.revocations, self.clock.now());
        self.rankings.forget_all();
        Ok(pulse)
    }

    /// The feed of revocations before anything was read of it. One matters for the life of an access token.
    fn feed(&self) -> Feed {
        Feed::new(self.accounts.access_token_ttl().as_secs_f64() + REVOCATION_MARGIN_SECONDS)
    }

    /// Brings the database up to date and asks for the first time. Afterwards requests can be served.
    ///
    /// # Errors
    /// As every statement's; it can be called again.
    pub async fn prepare(&self) -> Result<(), store::Error> {
        for name in self.store.migrate().await? {
            tracing::info!(migration = name, "migrated");
        }
        // The first answer sets the clock, by which the second one asks.
        self.beat(&mut self.feed()).await?;
        self.catalogues.seed().await?;
        self.beat(&mut self.feed()).await?;
        self.health.start();
        Ok(())
    }

    /// Asks for ever.
    pub async fn keep_pulse(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut identities = self.store.identity().watch();
        let mut feed = self.feed();
        let mut is_away = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.store.identity().renewal_wanted() => {}
                // Until everything is learned anew nothing can be changed.
                _ = identities.changed() => {}
            }
            match self.beat(&mut feed).await {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        tracing::info!("the database answers again");
                    }
                }
                Err(error) => {
                    if self.health.database_failed() {
                        tracing::error!(%error, "the database does not answer");
                    }
                    self.metrics.database_up.set(0);
                    is_away = true;
                    feed.read_again();
                }
            }
            let pool = self.store.pool_status();
            self.metrics.pool(pool.size, pool.idle, pool.waiting);
            let ready = matches!(self.health.readiness(), Readiness::Ready | Readiness::Degraded);
            self.metrics.ready.set(i64::from(ready));
        }
    }
}
