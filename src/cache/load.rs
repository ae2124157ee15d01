//! Loading a player from Redis or Postgres.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use moka::ops::compute::Op;
use uuid::Uuid;

use super::Players;
use super::minimum::{Minimum, Source, TOMBSTONE};
use super::remote::Remote;
use super::slot::{Lookup, Slot};
use crate::identity::Identity;
use crate::store;

/// A load in progress, which any number of readers can await.
pub(super) type Loading = Shared<BoxFuture<'static, Result<(), Arc<store::Error>>>>;

impl Players {
    /// Starts loading a player in its own task, so that the query finishes and its connection returns to the pool even
    /// if every reader has disconnected.
    pub(super) fn begin_load(&self, player: Uuid, slot: &Arc<Slot>) -> Loading {
        let (players, slot) = (self.clone(), Arc::clone(slot));
        let load = tokio::spawn(async move {
            // Also clears the load after a panic, so that the next reader starts a new one.
            let guard = LoadGuard(Arc::clone(&slot));
            let loaded = players.load(player, &slot).await;
            drop(guard);
            // Insert the slot again, because the cache computed its weight while the slot was empty.
            players.0.slots.entry(player).and_compute_with(|held| match held {
                Some(held) if Arc::ptr_eq(held.value(), &slot) => Op::Put(slot),
                _ => Op::Nop,
            });
            loaded
        });
        let interrupted = |_| {
            Err(Arc::new(store::Error::Unavailable("loading the player was interrupted".into())))
        };
        load.map(move |loaded| loaded.unwrap_or_else(interrupted)).boxed().shared()
    }

    async fn load(&self, player: Uuid, slot: &Slot) -> Result<(), Arc<store::Error>> {
        // Read the identity before the row, so that a row of one epoch is never stored under the keys of the next.
        let remote = self.0.remote.clone().zip(self.0.identity.current());
        if let Some((remote, identity)) = &remote
            && self.load_remote(remote, *identity, player, slot).await
        {
            self.0.metrics.redis_hits.inc();
            return Ok(());
        }
        self.0.metrics.loads.inc();
        let sent = Instant::now();
        match self.0.store.load_player(player).await.map_err(Arc::new)? {
            Some(mut record) => {
                if let Some(before) = slot.base(&self.0.identity) {
                    record.share_with(&before);
                }
                let record = Arc::new(record);
                let identity = &self.0.identity;
                let was_wanted = identity.is_renewal_wanted();
                self.put_in(slot, &record, sent, Instant::now());
                if !was_wanted && identity.is_renewal_wanted() {
                    // This row showed that the database had reverted to an earlier state, so it must be served with the
                    // new epoch. Boxed, because the future is large and rarely needed.
                    let (instance, now) = (self.0.peers.instance(), self.0.clock.now());
                    Box::pin(self.0.store.renew_epoch_if_wanted(instance, now)).await;
                }
                if let Some((remote, identity)) = remote {
                    tokio::spawn(async move { remote.put(identity, &record, sent).await });
                }
            }
            None => slot.put_missing(sent),
        }
        Ok(())
    }

    /// Loads the player from Redis into `slot`. Returns whether Redis had a row or a tombstone that may be served.
    async fn load_remote(
        &self,
        remote: &Remote,
        identity: Identity,
        player: Uuid,
        slot: &Slot,
    ) -> bool {
        let started = Instant::now();
        let Some(found) = remote.get(identity, player).await else { return false };
        let Some(current_at) = started.checked_sub(found.age) else { return false };
        let now = Instant::now();
        let freshness = self.0.peers.freshness();
        if !freshness.identity().knows(current_at) || !freshness.is_fresh(current_at, now) {
            return false;
        }
        match found.record {
            Some(record) => {
                slot.put(Arc::new(record), current_at, Source::Elsewhere, now);
            }
            None => {
                slot.raise(Minimum::of_revision(TOMBSTONE, now));
            }
        }
        matches!(slot.look_up(now, freshness), Lookup::Fresh(_))
    }
}

/// Marks the slot's load as finished when dropped.
struct LoadGuard(Arc<Slot>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.loaded();
    }
}
