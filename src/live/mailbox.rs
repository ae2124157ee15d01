//! What other threads tell a worker thread. It is woken once for all that arrives together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::game::PlayerWatcher;
use crate::streams::Listener;

/// What a worker thread has to look at.
#[derive(Debug, Default)]
pub struct News {
    /// Streams with new events.
    pub streams: HashSet<Arc<str>, RandomState>,
    /// Players whose state has changed.
    pub players: HashSet<Uuid, RandomState>,
    /// Connections that a newer one of the same player replaces.
    pub replaced: Vec<u64>,
}

/// The mailbox of a worker thread.
#[derive(Debug, Default)]
pub struct Mailbox {
    news: Mutex<News>,
    filled: Notify,
}

impl Mailbox {
    /// Closes a connection, because a newer one takes its place.
    pub fn replace(&self, number: u64) {
        self.add(|news| news.replaced.push(number));
    }

    /// Returns when there is something.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes what has arrived.
    pub fn take(&self) -> News {
        std::mem::take(&mut *self.lock())
    }

    fn add(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.lock());
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Mailbox {
    fn notify(&self, stream: &Arc<str>) {
        self.add(|news| {
            news.streams.insert(Arc::clone(stream));
        });
    }
}

impl PlayerWatcher for Mailbox {
    fn changed(&self, player: Uuid) {
        self.add(|news| {
            news.players.insert(player);
        });
    }
}
