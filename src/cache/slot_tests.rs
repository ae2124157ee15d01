//! Model tests of one slot with events in random order: loads that start and end at any time, commits of this and of
//! other instances, and announcements that arrive, arrive late or never arrive.

use proptest::prelude::*;

use super::*;
use crate::cache::minimum::TOMBSTONE;
use crate::domain::testing::at;
use crate::identity::{Epoch, Identity, Observed};
use crate::store::players::testing::guest;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A load sends its query, which reads the current row.
    BeginLoad,
    /// One of the loads receives its result.
    EndLoad(usize),
    CommitHere,
    /// Another instance commits.
    CommitElsewhere,
    /// One of the announcements arrives.
    Announce(usize),
    /// This instance changes the row without a lane's commit.
    Touch,
    /// Milliseconds pass.
    Wait(u64),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::BeginLoad),
        2 => any::<usize>().prop_map(Step::EndLoad),
        1 => Just(Step::CommitHere),
        1 => Just(Step::CommitElsewhere),
        2 => any::<usize>().prop_map(Step::Announce),
        1 => Just(Step::Touch),
        2 => (1u64..700).prop_map(Step::Wait),
        4 => Just(Step::Read),
    ]
}

fn record(revision: i64) -> Arc<PlayerRecord> {
    Arc::new(PlayerRecord { revision, ..guest() })
}

/// Removes one of `items`, if there are any.
fn pick<T>(items: &mut Vec<T>, index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items.swap_remove(index % items.len()))
}

/// Runs the steps. `announced` means that each commit of another instance is announced before the next step.
fn run(steps: &[Step], announced: bool) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let (mut now, slot, freshness) =
        (start, Slot::default(), Freshness::new(announced, start, Arc::default()));
    // Pairs of a revision and the time at which it was committed.
    let mut rows = vec![(1, start)];
    let (mut loads, mut announcements) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for step in steps {
        let newest = rows.last().expect("a row").0;
        match *step {
            Step::BeginLoad => loads.push((newest, now)),
            Step::EndLoad(index) => {
                if let Some((revision, sent)) = pick(&mut loads, index) {
                    slot.put(record(revision), sent, Source::Statement, now);
                }
            }
            Step::CommitHere => {
                rows.push((newest + 1, now));
                slot.put(record(newest + 1), now, Source::Statement, now);
                seen = newest + 1;
            }
            Step::CommitElsewhere => {
                rows.push((newest + 1, now));
                if announced {
                    slot.put(record(newest + 1), now, Source::Elsewhere, now);
                } else {
                    announcements.push((newest + 1, now));
                }
            }
            Step::Announce(index) => {
                if let Some((revision, made)) = pick(&mut announcements, index) {
                    slot.put(record(revision), made, Source::Elsewhere, now);
                }
            }
            Step::Touch => {
                rows.push((newest + 1, now));
                slot.raise(Minimum::of_change(now));
                // Later reads must have a later time than the change.
                now += Duration::from_micros(1);
            }
            Step::Wait(millis) => now += Duration::from_millis(millis),
            Step::Read => {
                let Lookup::Fresh(record) = slot.look_up(now, &freshness) else { continue };
                let served = record.expect("the player exists").revision;
                prop_assert!(served >= seen, "served {served} after {seen}");
                seen = served;
                if announced {
                    prop_assert_eq!(served, newest, "an announced commit was not served");
                }
                // The time at which the served revision was replaced.
                let replaced = rows.iter().find(|(revision, _)| *revision > served);
                if let Some((_, replaced)) = replaced {
                    let lag = now.duration_since(*replaced);
                    prop_assert!(
                        lag < Duration::from_secs(1),
                        "served for {lag:?} after it was replaced"
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn announced_commits_are_served_and_nothing_older(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&steps, true)?;
    }

    #[test]
    fn without_announcements_a_row_is_served_for_less_than_a_second_after_it_was_replaced(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&steps, false)?;
    }
}

/// Stores a row that a statement read at `current_at`.
fn put(slot: &Slot, revision: i64, current_at: Instant) -> Option<Admission> {
    slot.put(record(revision), current_at, Source::Statement, current_at)
}

#[test]
fn a_deleted_player_is_not_restored_by_a_late_row() {
    let (slot, now) = (Slot::default(), Instant::now());
    let freshness = Freshness::new(true, now, Arc::default());
    let deleted = now + Duration::from_secs(1);
    assert_eq!(put(&slot, 5, now), Some(Admission::Newest));
    slot.raise(Minimum::of_revision(TOMBSTONE, deleted));
    assert_eq!(put(&slot, 6, now), Some(Admission::Outdated), "a late put");
    let late = slot.put(record(6), deleted + MISSING_FOR, Source::Elsewhere, deleted);
    assert_eq!(late, Some(Admission::Outdated), "a late row from Redis");
    assert!(matches!(slot.look_up(deleted, &freshness), Lookup::Fresh(None)));
    assert!(slot.base(freshness.identity()).is_none());
}

#[test]
fn a_missing_player_is_cached_for_a_second() {
    let (slot, now) = (Slot::default(), Instant::now());
    let freshness = Freshness::new(true, now, Arc::default());
    slot.put_missing(now);
    assert!(matches!(slot.look_up(now, &freshness), Lookup::Fresh(None)));
    assert!(matches!(slot.look_up(now + MISSING_FOR, &freshness), Lookup::Unknown));
    put(&slot, 1, now);
    assert!(matches!(slot.look_up(now, &freshness), Lookup::Fresh(Some(_))));
}

#[test]
fn a_row_of_a_reverted_database_is_served() {
    let (slot, now) = (Slot::default(), Instant::now());
    let freshness = Freshness::new(true, now, Arc::default());
    let seconds = |seconds| now + Duration::from_secs(seconds);
    let served = |at| match slot.look_up(at, &freshness) {
        Lookup::Fresh(Some(record)) => Some(record.revision),
        _ => None,
    };
    put(&slot, 5, now);
    assert_eq!(
        put(&slot, 1, now),
        Some(Admission::Outdated),
        "its query was sent before revision 5 was known"
    );
    assert!(matches!(put(&slot, 1, seconds(1)), Some(Admission::Reverted { .. })));
    assert_eq!(served(seconds(1)), Some(1));
    assert_eq!(put(&slot, 2, seconds(2)), Some(Admission::Newest), "revisions continue from 1");
    slot.raise(Minimum::of_revision(TOMBSTONE, seconds(3)));
    let back = put(&slot, 1, seconds(4));
    assert_eq!(back, Some(Admission::Reverted { known_at: Some(seconds(3)) }), "a deleted player");
    assert_eq!(served(seconds(4)), Some(1));
}

#[test]
fn a_row_of_another_epoch_is_neither_served_nor_used_as_a_base() {
    let start = Instant::now();
    let (slot, at) = (Slot::default(), |seconds| start + Duration::from_secs(seconds));
    let identity = Arc::new(IdentityTracker::new(start));
    let freshness = Freshness::new(true, start, Arc::clone(&identity));
    put(&slot, 5, at(1));
    identity.connection_lost(at(2));
    assert!(slot.base(&identity).is_none(), "the next connection may lead to another server");
    assert!(matches!(slot.look_up(at(2), &freshness), Lookup::Stale(Some(_), _)));
    for (epoch, seconds) in [(1, 3), (2, 4)] {
        let of_epoch = Identity { database: 1, epoch: Epoch::from_number(epoch) };
        let observed = Observed { identity: of_epoch, server_started_at: 1, wal_position: None };
        identity.observe(observed, at(seconds), at(seconds));
    }
    assert!(matches!(slot.look_up(at(4), &freshness), Lookup::Unknown));
    assert!(matches!(put(&slot, 1, at(5)), Some(Admission::Reverted { .. })));
    assert_eq!(slot.base(&identity).map(|record| record.revision), Some(1));
    slot.raise(Minimum::of_revision(TOMBSTONE, at(6)));
    let third = Identity { database: 1, epoch: Epoch::from_number(3) };
    let observed = Observed { identity: third, server_started_at: 1, wal_position: None };
    identity.observe(observed, at(7), at(7));
    assert!(
        matches!(slot.look_up(at(8), &freshness), Lookup::Unknown),
        "a deletion belongs to its epoch too"
    );
}

#[test]
fn while_a_write_is_unsettled_a_row_is_served_for_a_second() {
    let (slot, now) = (Slot::default(), Instant::now());
    let freshness = Freshness::new(true, now, Arc::default());
    let after = |millis| now + Duration::from_millis(millis);
    put(&slot, 5, now);
    slot.raise(Minimum::of_unknown_outcome(5, now));
    put(&slot, 5, after(1));
    assert!(matches!(slot.look_up(after(900), &freshness), Lookup::Fresh(Some(_))));
    assert!(matches!(slot.look_up(after(1_100), &freshness), Lookup::Stale(Some(_), _)));
    put(&slot, 6, after(2));
    assert!(
        matches!(slot.look_up(after(1_100), &freshness), Lookup::Fresh(Some(_))),
        "the write is settled"
    );
}

#[test]
fn a_retired_slot_stores_nothing_and_reports_it() {
    let (slot, now) = (Slot::default(), Instant::now());
    put(&slot, 5, now);
    let kept = slot.retire();
    assert_eq!(put(&slot, 6, now), None);
    assert!(!slot.raise(Minimum::of_revision(7, now)));
    assert_eq!(kept.admission(4, now, Source::Elsewhere), Admission::Outdated);
}

#[test]
fn a_new_row_shares_equal_parts_with_the_previous_row() {
    let (slot, now) = (Slot::default(), Instant::now());
    let identity = IdentityTracker::default();
    put(&slot, 1, now);
    let before = slot.base(&identity).expect("put");
    put(&slot, 2, now);
    let after = slot.base(&identity).expect("put");
    assert_eq!(after.revision, 2);
    assert!(after.player.inventory.is_shared_with(&before.player.inventory));
    assert!(Arc::ptr_eq(&after.player.display_name, &before.player.display_name));
}

#[test]
fn presence_is_due_once_a_second() {
    let slot = Slot::default();
    let due = [5.0, 5.9, 6.0, 6.9, 7.0].map(|seconds| slot.is_presence_due(at(seconds)));
    assert_eq!(due, [true, false, true, false, true]);
}
