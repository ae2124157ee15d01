//! One player, one slot, and everything that may happen to them in any order: loads that begin and end at any time,
//! commits here and elsewhere, announcements that come, come late or never.

use proptest::prelude::*;

use super::*;
use crate::domain::testing::at;
use crate::store::players::testing::guest;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A load sends its query, which sees the row as it is now.
    BeginLoad,
    /// One of the loads gets its answer.
    EndLoad(usize),
    CommitHere,
    /// Another instance commits.
    CommitElsewhere,
    /// One of the announcements under way arrives.
    Announce(usize),
    /// The row changes by other means than a commit of ours, and this instance knows.
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

/// Takes one of `items`, where there are any.
fn pick<T>(items: &mut Vec<T>, index: usize) -> Option<T> {
    (!items.is_empty()).then(|| items.swap_remove(index % items.len()))
}

/// Runs the steps. `announced` says that a commit elsewhere is announced before anything else happens here.
fn run(steps: &[Step], announced: bool) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let (mut now, slot, trust) = (start, Slot::default(), Trust::new(announced, start));
    // Each revision with the time at which it became the row's.
    let mut rows = vec![(1, start)];
    let (mut loads, mut announcements) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for step in steps {
        let newest = rows.last().expect("a row").0;
        match *step {
            Step::BeginLoad => loads.push((newest, now)),
            Step::EndLoad(index) => {
                if let Some((revision, sent)) = pick(&mut loads, index) {
                    slot.put(record(revision), sent);
                }
            }
            Step::CommitHere => {
                rows.push((newest + 1, now));
                slot.put(record(newest + 1), now);
                seen = newest + 1;
            }
            Step::CommitElsewhere => {
                rows.push((newest + 1, now));
                if announced {
                    slot.put(record(newest + 1), now);
                } else {
                    announcements.push((newest + 1, now));
                }
            }
            Step::Announce(index) => {
                if let Some((revision, made)) = pick(&mut announcements, index) {
                    slot.put(record(revision), made);
                }
            }
            Step::Touch => {
                rows.push((newest + 1, now));
                slot.raise(Floor { revision: 0, changed_at: Some(now) });
                // Whatever is read in the same instant is told from what was read before.
                now += Duration::from_micros(1);
            }
            Step::Wait(millis) => now += Duration::from_millis(millis),
            Step::Read => {
                let Look::Fresh(record) = slot.look(now, &trust) else { continue };
                let served = record.expect("the player exists").revision;
                prop_assert!(served >= seen, "from {seen} back to {served}");
                seen = served;
                if announced {
                    prop_assert_eq!(served, newest, "announced, and not served");
                }
                // The time at which it was replaced.
                let replaced = rows.iter().find(|(revision, _)| *revision > served);
                if let Some((_, replaced)) = replaced {
                    let lag = now.duration_since(*replaced);
                    prop_assert!(lag < Duration::from_secs(1), "served {lag:?} too long");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_announced_is_served_and_nothing_older(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&steps, true)?;
    }

    #[test]
    fn without_announcements_nothing_is_served_a_second_after_it_was_replaced(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        run(&steps, false)?;
    }
}

#[test]
fn a_player_who_is_gone_stays_gone() {
    let (slot, now) = (Slot::default(), Instant::now());
    let trust = Trust::new(true, now);
    assert!(slot.put(record(5), now));
    slot.raise(Floor { revision: GONE, changed_at: None });
    assert!(!slot.put(record(6), now + Duration::from_secs(1)), "a late put");
    assert!(matches!(slot.look(now, &trust), Look::Fresh(None)));
    assert!(slot.base().is_none());
}

#[test]
fn that_a_player_is_missing_is_believed_for_a_second() {
    let (slot, now) = (Slot::default(), Instant::now());
    let trust = Trust::new(true, now);
    slot.put_missing(now);
    assert!(matches!(slot.look(now, &trust), Look::Fresh(None)));
    assert!(matches!(slot.look(now + MISSING_FOR, &trust), Look::Unknown));
    slot.put(record(1), now);
    assert!(matches!(slot.look(now, &trust), Look::Fresh(Some(_))));
}

#[test]
fn a_row_from_elsewhere_shares_what_it_has_in_common_with_the_one_before() {
    let (slot, now) = (Slot::default(), Instant::now());
    slot.put(record(1), now);
    let before = slot.base().expect("put");
    slot.put(record(2), now);
    let after = slot.base().expect("put");
    assert_eq!(after.revision, 2);
    assert!(after.player.inventory.is_shared_with(&before.player.inventory));
    assert!(Arc::ptr_eq(&after.player.display_name, &before.player.display_name));
}

#[test]
fn that_a_player_is_there_is_worth_noting_once_a_second() {
    let slot = Slot::default();
    let noteworthy = [5.0, 5.9, 6.0, 6.9, 7.0].map(|seconds| slot.is_noteworthy(at(seconds)));
    assert_eq!(noteworthy, [true, false, true, false, true]);
}
