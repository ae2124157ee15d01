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

/// A load that any number of readers can wait for.
pub(super) type Loading = Shared<BoxFuture<'static, Result<(), Arc<store::Error>>>>;

impl Players {
    /// Begins to load a player. The load continues if no reader waits any more, because it uses a connection.
    pub(super) fn begin_load(&self, player: Uuid, slot: &Arc<Slot>) -> Loading {
        let (players, slot) = (self.clone(), Arc::clone(slot));
        let load = tokio::spawn(async move {
            // Dropped after a panic too, so that the next reader begins another load.
            let ending = Ending(Arc::clone(&slot));
            let loaded = players.load(player, &slot).await;
            drop(ending);
            // The slot was weighed while it was empty.
            players.0.slots.entry(player).and_compute_with(|held| match held {
                Some(held) if Arc::ptr_eq(held.value(), &slot) => Op::Put(slot),
                _ => Op::Nop,
            });
            loaded
        });
        let ended = |_| {
            Err(Arc::new(store::Error::Unavailable("loading the player was interrupted".into())))
        };
        load.map(move |loaded| loaded.unwrap_or_else(ended)).boxed().shared()
    }

    async fn load(&self, player: Uuid, slot: &Slot) -> Result<(), Arc<store::Error>> {
        // Read before the row, so that a row of one epoch is never stored under the keys of the next.
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
                let wanted = identity.is_renewal_wanted();
                self.put_in(slot, &record, sent, Instant::now());
                if !wanted && identity.is_renewal_wanted() {
                    // The row must be served together with the new epoch. Boxed, because it is rare and large.
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

    /// Whether Redis had a row or a tombstone that may be served.
    async fn load_remote(
        &self,
        remote: &Remote,
        identity: Identity,
        player: Uuid,
        slot: &Slot,
    ) -> bool {
        let asked = Instant::now();
        let Some(held) = remote.get(identity, player).await else { return false };
        let Some(right_at) = asked.checked_sub(held.age) else { return false };
        let now = Instant::now();
        let freshness = self.0.peers.freshness();
        if !freshness.identity().knows(right_at) || !freshness.is_fresh(right_at, now) {
            return false;
        }
        match held.record {
            Some(record) => {
                slot.put(Arc::new(record), right_at, Source::Elsewhere, now);
            }
            None => {
                slot.raise(Minimum::of_revision(TOMBSTONE, now));
            }
        }
        matches!(slot.look_up(now, freshness), Lookup::Fresh(_))
    }
}

/// Ends a load when it is dropped.
struct Ending(Arc<Slot>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.loaded();
    }
}
