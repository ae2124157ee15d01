//! The poller: twice a second each instance queries the database's time and identity, the latest catalogue and new
//! revocations.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, sleep};
use uuid::Uuid;

use super::unread::Feed;
use crate::app::Server;
use crate::health::Readiness;
use crate::store;
use crate::store::pulse::Pulse;

const INTERVAL: Duration = Duration::from_millis(500);
/// The pause between a signal and the poll, in which further signals may come that need no poll of their own.
const SIGNAL_PAUSE: Duration = Duration::from_millis(50);

/// Seconds for which a revocation is still applied after the lifetime of an access token. An access token may be issued
/// shortly after the revocation was made, by a request that had started before.
const REVOCATION_MARGIN_SECONDS: f64 = 30.0;

/// The value of [`Server::known_epoch`] before the first answer of the database.
pub(in crate::app) const NO_EPOCH: u64 = 0;

impl Server {
    /// Polls once. `feed` says which revocations to read.
    async fn poll(&self, feed: &mut Feed) -> Result<(), store::Error> {
        let sent = Instant::now();
        let instance = self.peers.instance();
        if let Some(lasts) = self.peers.silence_to_note()
            && let Err(error) = self.store.note_silence(instance, lasts).await
        {
            // If the database refuses this write, it also refuses writes of players, so there is nothing to announce.
            // The next poll tries again.
            tracing::debug!(%error, "could not store the note that this instance does not announce its changes");
            self.peers.forget_silence();
        }
        let mut pulse = self.store.pulse(instance, &feed.unread(self.clock.now())).await?;
        let epoch = self.store.identity().epoch();
        let known = self.known_epoch.load(Ordering::Relaxed);
        if known != epoch.number() {
            if known == NO_EPOCH {
                self.streams.begin_epoch(epoch);
            } else {
                // Boxed to keep the future of a usual poll small.
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

    /// Discards and reloads everything that was read from the database, because it was replaced or restored to an
    /// earlier state.
    async fn begin_epoch(&self, instance: Uuid, feed: &Feed) -> Result<Pulse, store::Error> {
        let identity = self.store.identity();
        tracing::warn!(epoch = %identity.epoch(), "the database was restored or replaced");
        self.peers.forget_silence();
        // First, because the epoch is new already. If a statement fails, the next poll comes here again.
        self.notifications.forget_all();
        self.streams.begin_epoch(identity.epoch());
        self.catalogues.seed().await?;
        self.catalogues.restart().await?;
        let pulse = self.store.pulse(instance, &feed.unread(self.clock.now())).await?;
        self.accounts.revocations().restart(&pulse.revocations, self.clock.now());
        self.rankings.forget_all();
        Ok(pulse)
    }

    /// A feed of which no revocation was read yet. A revocation is needed for the lifetime of an access token.
    fn feed(&self) -> Feed {
        Feed::new(self.accounts.access_token_ttl().as_secs_f64() + REVOCATION_MARGIN_SECONDS)
    }

    /// Updates the schema and polls for the first time. Requests can be served afterwards.
    ///
    /// # Errors
    /// Returns the error of the statement. The call may be repeated.
    pub async fn prepare(&self) -> Result<(), store::Error> {
        for name in self.store.migrate().await? {
            tracing::info!(migration = name, "migration applied");
        }
        // The first answer sets the clock, which the second poll uses.
        self.poll(&mut self.feed()).await?;
        self.catalogues.seed().await?;
        self.poll(&mut self.feed()).await?;
        self.health.start();
        Ok(())
    }

    /// Polls twice a second. Never returns.
    pub async fn run_poller(&self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut identities = self.store.identity().watch();
        let mut feed = self.feed();
        let mut is_down = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.store.identity().renewal_wanted() => {}
                // Polls at once after a change, because mutations are refused until everything is reloaded.
                _ = identities.changed() => {}
                () = self.signals.received().poll_wanted() => sleep(SIGNAL_PAUSE).await,
            }
            match self.poll(&mut feed).await {
                Ok(()) => {
                    if std::mem::take(&mut is_down) {
                        tracing::info!("the database responds again");
                    }
                }
                Err(error) => {
                    if self.health.database_failed() {
                        tracing::error!(%error, "the database does not respond");
                    }
                    self.metrics.database_up.set(0);
                    is_down = true;
                    feed.read_again();
                }
            }
            let waiting = i64::try_from(self.live.waiting_bytes()).unwrap_or(i64::MAX);
            self.metrics.live.waiting_bytes.set(waiting);
            let pool = self.store.pool_status();
            self.metrics.pool(pool.size, pool.idle, pool.waiting);
            let ready = matches!(self.health.readiness(), Readiness::Ready | Readiness::Degraded);
            self.metrics.ready.set(i64::from(ready));
        }
    }
}
