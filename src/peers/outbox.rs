//! Items that wait to be published.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Peers;
use super::message::{self, Item};
use crate::domain::Timestamp;
use crate::identity::Identity;

/// The maximum number of items in one message.
const MAX_ITEMS: usize = 64;
/// From this number of waiting items on, further ones are dropped. The heartbeat then pauses, so that peers notice the
/// loss.
const MAX_WAITING: usize = 20_000;

/// Publishes the items of one topic. Cheap to clone.
#[derive(Clone)]
pub struct Publisher<T> {
    peers: Peers,
    outbox: Arc<Outbox<T>>,
}

impl<T: Item> Publisher<T> {
    pub(super) fn new(peers: Peers, outbox: Arc<Outbox<T>>) -> Self {
        Self { peers, outbox }
    }

    /// Queues items that are valid as of `at`. Does nothing while this instance certainly has no peers.
    pub fn publish(&self, at: Timestamp, items: impl Iterator<Item = T>) {
        if self.peers.is_publishing()
            && let Some(identity) = self.peers.0.identity.current()
        {
            self.outbox.push(identity, at, items);
        }
    }

    /// Like [`Publisher::publish`], for one item that is valid as of now.
    pub fn publish_now(&self, item: T) {
        self.publish(self.peers.0.clock.now(), std::iter::once(item));
    }
}

/// The items of one topic that wait to be published.
pub(super) struct Outbox<T> {
    waiting: Mutex<Waiting<T>>,
    filled: Arc<Notify>,
}

struct Waiting<T> {
    /// The identity of the database and the time when the first item was queued.
    began: Option<(Identity, Timestamp)>,
    items: Vec<T>,
    /// Whether items were dropped.
    overflowed: bool,
}

/// What the publishing task needs of an outbox.
pub(super) trait Queue {
    /// Takes all waiting items. Items of another epoch are dropped.
    fn take(&self, identity: Identity) -> Taken;
}

/// Encoded messages with the time of their oldest item, and whether items were dropped.
pub(super) struct Taken {
    pub(super) at: Option<Timestamp>,
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) overflowed: bool,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { began: None, items: Vec::new(), overflowed: false }
    }
}

impl<T> Waiting<T> {
    /// Drops items of another epoch, because rows of that epoch are not valid in this one.
    fn drop_other_epochs(&mut self, identity: Identity) {
        if self.began.is_some_and(|(began, _)| began != identity) {
            (self.began, self.items) = (None, Vec::new());
        }
    }
}

impl<T: Item> Outbox<T> {
    pub(super) fn new(filled: Arc<Notify>) -> Self {
        Self { waiting: Mutex::default(), filled }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, identity: Identity, at: Timestamp, items: impl Iterator<Item = T>) {
        let mut waiting = self.lock();
        waiting.drop_other_epochs(identity);
        if waiting.items.len() >= MAX_WAITING {
            waiting.overflowed = true;
            return;
        }
        waiting.began.get_or_insert((identity, at));
        waiting.items.extend(items);
        drop(waiting);
        self.filled.notify_one();
    }
}

impl<T: Item> Queue for Outbox<T> {
    fn take(&self, identity: Identity) -> Taken {
        let mut waiting = mem::take(&mut *self.lock());
        waiting.drop_other_epochs(identity);
        let messages = waiting.items.chunks(MAX_ITEMS).filter_map(message::encode_items).collect();
        let at = waiting.began.map(|(_, at)| at);
        Taken { at, messages, overflowed: waiting.overflowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::at;
    use crate::identity::Epoch;

    fn identity(epoch: u64) -> Identity {
        Identity { database: 1, epoch: Epoch::from_number(epoch) }
    }

    #[test]
    fn items_of_another_epoch_are_not_published() {
        let outbox = Outbox::new(Arc::default());
        let push = |epoch, item: u32| outbox.push(identity(epoch), at(0.0), std::iter::once(item));
        push(1, 1);
        push(1, 2);
        assert_eq!(outbox.lock().items, [1, 2]);
        push(2, 3);
        assert_eq!(outbox.lock().items, [3]);
        assert!(outbox.take(identity(3)).messages.is_empty());
        push(3, 4);
        let taken = outbox.take(identity(3));
        assert_eq!(message::decode_items::<u32>(&taken.messages.concat()), Some(vec![4]));
    }

    #[test]
    fn items_beyond_the_limit_are_dropped_and_the_loss_is_reported() {
        let outbox = Outbox::new(Arc::default());
        outbox.push(identity(1), at(0.0), 0..MAX_WAITING as u32);
        outbox.push(identity(1), at(0.0), std::iter::once(0));
        let taken = outbox.take(identity(1));
        assert_eq!(taken.messages.len(), MAX_WAITING.div_ceil(MAX_ITEMS));
        assert!(taken.overflowed && !outbox.take(identity(1)).overflowed);
    }
}
