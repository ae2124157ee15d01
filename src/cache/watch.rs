//! Who wants to know of changes of players.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use uuid::Uuid;

/// Someone who shows the states of players.
pub trait PlayerWatcher: Send + Sync {
    /// The player's row may have changed. Must not block.
    fn changed(&self, player: Uuid);
}

/// The watched players.
#[derive(Default)]
pub(super) struct Watches {
    /// The number of watched players, so that a change need not take the lock if there are none.
    count: AtomicUsize,
    by_player: Mutex<HashMap<Uuid, Vec<Watch>, RandomState>>,
}

/// A watcher of a player.
struct Watch {
    watcher: Arc<dyn PlayerWatcher>,
    /// How often it began to watch and has not ended.
    times: usize,
}

impl Watch {
    fn is_of(&self, watcher: &Arc<dyn PlayerWatcher>) -> bool {
        Arc::as_ptr(&self.watcher).addr() == Arc::as_ptr(watcher).addr()
    }
}

impl Watches {
    /// Tells a watcher of changes of a player, until [`Watches::unwatch`] is called as often as this.
    pub(super) fn watch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        let mut by_player = self.lock();
        let watches = by_player.entry(player).or_default();
        match watches.iter_mut().find(|watch| watch.is_of(watcher)) {
            Some(watch) => watch.times += 1,
            None => watches.push(Watch { watcher: Arc::clone(watcher), times: 1 }),
        }
        self.count.store(by_player.len(), Ordering::Relaxed);
    }

    /// Ends what [`Watches::watch`] began.
    pub(super) fn unwatch(&self, player: Uuid, watcher: &Arc<dyn PlayerWatcher>) {
        let mut by_player = self.lock();
        if let Some(watches) = by_player.get_mut(&player) {
            if let Some(watch) = watches.iter_mut().find(|watch| watch.is_of(watcher)) {
                watch.times -= 1;
            }
            watches.retain(|watch| watch.times > 0);
            if watches.is_empty() {
                by_player.remove(&player);
            }
        }
        self.count.store(by_player.len(), Ordering::Relaxed);
    }

    /// Tells those who watch any of these players.
    pub(super) fn changed(&self, players: impl IntoIterator<Item = Uuid>) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let by_player = self.lock();
        for player in players {
            for watch in by_player.get(&player).into_iter().flatten() {
                watch.watcher.changed(player);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Watch>, RandomState>> {
        self.by_player.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<Uuid>>);

    impl PlayerWatcher for Seen {
        fn changed(&self, player: Uuid) {
            self.0.lock().expect("a lock").push(player);
        }
    }

    #[test]
    fn watchers_are_told_of_their_players_until_they_end() {
        let (watches, seen) = (Watches::default(), Arc::new(Seen::default()));
        let watcher: Arc<dyn PlayerWatcher> = Arc::<Seen>::clone(&seen);
        let told = |players: &[u128]| {
            watches.changed(players.iter().copied().map(Uuid::from_u128));
            let told = std::mem::take(&mut *seen.0.lock().expect("a lock"));
            told.iter().map(Uuid::as_u128).collect::<Vec<_>>()
        };
        let [first, second] = [1, 2].map(Uuid::from_u128);
        assert!(told(&[1, 2]).is_empty());
        // Two connections of the same player.
        watches.watch(first, &watcher);
        watches.watch(first, &watcher);
        watches.watch(second, &watcher);
        assert_eq!(told(&[1, 3, 2]), [1, 2]);
        watches.unwatch(first, &watcher);
        assert_eq!(told(&[1]), [1]);
        watches.unwatch(first, &watcher);
        assert!(told(&[1]).is_empty());
        watches.unwatch(second, &watcher);
        assert!(watches.lock().is_empty() && watches.count.load(Ordering::Relaxed) == 0);
    }
}
