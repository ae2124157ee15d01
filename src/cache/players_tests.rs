//! Tests of the whole cache without a database, in which slots are evicted at unfavourable moments.

use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::testing::at;
use crate::store::players::testing::guest;

/// A cache that never uses its database.
fn players() -> Players {
    let (store, clock) = (store::testing::unused(), Arc::new(ManualClock::new(at(0.0))));
    Players::new(Settings {
        peers: Peers::new(None, Arc::clone(&clock) as _, Arc::clone(store.identity()), true),
        store,
        redis: None,
        clock,
        health: Arc::default(),
        metrics: Metrics::new().expect("metrics"),
        capacity: 1 << 20,
    })
}

fn record(revision: i64) -> Arc<PlayerRecord> {
    Arc::new(PlayerRecord { revision, ..guest() })
}

/// Evicts the player's slot, as a full cache does.
fn evict(players: &Players) {
    players.0.slots.invalidate(&guest().id);
    players.0.slots.run_pending_tasks();
}

/// Whether a row of this revision that arrives late from Redis would be stored.
fn admits(players: &Players, revision: i64) -> bool {
    let (slot, now) = (players.slot(guest().id), Instant::now());
    slot.put(record(revision), now, Source::Elsewhere, now) == Some(Admission::Newest)
}

#[tokio::test]
async fn the_minimum_of_an_evicted_player_is_kept() {
    let players = players();
    let handle = players.handle(guest().id);
    players.loaded(&record(5), Instant::now());
    evict(&players);
    assert!(handle.slot.is_retired());
    assert!(!admits(&players, 4), "the minimum outlives the slot");
    evict(&players);
    players.receive(Change::State(record(7)), Duration::ZERO, Instant::now());
    assert!(!admits(&players, 6));
    evict(&players);
    players.receive(Change::Deleted(guest().id), Duration::ZERO, Instant::now());
    assert!(!admits(&players, 8));
}

#[tokio::test]
async fn a_commit_through_the_handle_of_an_evicted_slot_is_stored() {
    let players = players();
    let handle = players.handle(guest().id);
    evict(&players);
    let sent = Instant::now();
    players.committed(vec![(record(9), Some(handle))], at(0.0), sent);
    let (kept, _) = players.base(guest().id, None).expect("kept");
    assert_eq!(kept.revision, 9);
}

/// One thread creates a slot while another raises the minimum of the same player: whichever is later must see the
/// other's effect.
#[tokio::test]
async fn a_minimum_raised_while_its_slot_is_created_is_not_lost() {
    for _ in 0..300 {
        let players = players();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let raising = std::thread::spawn({
            let (players, barrier) = (players.clone(), Arc::clone(&barrier));
            move || {
                barrier.wait();
                let now = Instant::now();
                players.raise(guest().id, Minimum::of_revision(7, now));
            }
        });
        barrier.wait();
        let slot = players.slot(guest().id);
        raising.join().expect("raised");
        let now = Instant::now();
        assert_eq!(
            slot.put(record(6), now, Source::Elsewhere, now),
            Some(Admission::Outdated),
            "the minimum was lost"
        );
    }
}
