use proptest::prelude::*;

use super::*;
use crate::domain::Rules;
use crate::domain::testing::{at, slug, timeline, two_catalogues};

const HOUR: f64 = 3600.0;

fn with_cranks(count: u64, now: Timestamp) -> Player {
    let mut player = Player::new("Ada".into(), &Rules::default(), now);
    player.inventory.add_generators(&slug("crank"), count);
    player
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

#[test]
fn seasons_begin_on_monday_at_midnight_utc() {
    // 2026-01-05T00:00:00Z, a Monday.
    let monday = Timestamp::from_micros(1_767_571_200_000_000);
    let season = Season::at(monday);
    assert_eq!(season.starts_at(), monday);
    assert_eq!(Season::at(Timestamp::from_micros(monday.as_micros() - 1)).next(), season);
    assert_eq!(season.ends_at().seconds_since(monday), 7.0 * 24.0 * HOUR);
    assert_eq!(Season::at(season.ends_at()), season.next());
    assert_eq!(Season::at(Timestamp::from_micros(4 * DAY_MICROS)), Season::from_number(0));
    assert_eq!(Season::at(Timestamp::from_micros(0)), Season::from_number(-1));
}

#[test]
fn a_settle_past_the_end_of_a_season_splits_production_at_the_end() {
    let end = Season::at(at(0.0)).ends_at();
    let timeline = timeline();
    let mut player = with_cranks(2, end.plus_seconds(-HOUR));
    let before = player.clone();
    player.arrive(&timeline, end.plus_seconds(2.0 * HOUR));
    assert_eq!(player.lifetime_energy, 3.0 * HOUR);
    assert_eq!((player.season, player.season_base), (Season::at(end), HOUR));
    assert_eq!(player.season_score(&timeline, end.plus_seconds(2.0 * HOUR)), 2.0 * HOUR);
    let finished: Vec<_> = before.finished_seasons(&timeline, player.season).collect();
    assert_eq!(finished, [(Season::at(at(0.0)), HOUR)]);
}

#[test]
fn clicks_at_the_end_of_a_season_count_for_the_next_season() {
    let end = Season::at(at(0.0)).ends_at();
    let timeline = timeline();
    let mut player = with_cranks(0, end.plus_seconds(-1.0));
    let click = crate::domain::Command::Act(crate::domain::Action::Click { clicks: 5 });
    player.apply(&click, &timeline, end.plus_seconds(-1e-6), &mut Vec::new()).expect("a click");
    let row = player.clone();
    player.apply(&click, &timeline, end, &mut Vec::new()).expect("a click");
    assert_eq!(
        row.finished_seasons(&timeline, player.season).collect::<Vec<_>>(),
        [(Season::at(at(0.0)), 5.0)]
    );
    assert_eq!(player.season_score(&timeline, end), 5.0);
}

#[test]
fn after_an_absence_over_several_seasons_each_has_a_final_score() {
    let first = Season::at(at(0.0));
    let timeline = timeline();
    // Production continues for eight hours. Two of them are before the end of the first season.
    let player = with_cranks(2, first.ends_at().plus_seconds(-2.0 * HOUR));
    let fourth = first.next().next().next();
    let finished: Vec<_> = player.finished_seasons(&timeline, fourth).map(|it| it.1).collect();
    assert_eq!(finished, [2.0 * HOUR, 6.0 * HOUR, 0.0]);
    assert_eq!(player.season_score(&timeline, fourth.starts_at()), 0.0);
}

#[test]
fn a_clock_that_is_behind_does_not_move_a_player_to_an_earlier_season() {
    let end = Season::at(at(0.0)).ends_at();
    let mut player = with_cranks(2, end.plus_seconds(-HOUR));
    player.arrive(&timeline(), end.plus_seconds(1.0));
    let settled = player.clone();
    player.arrive(&timeline(), end.plus_seconds(-1.0));
    assert_eq!(player, settled);
    assert_eq!(player.finished_seasons(&timeline(), player.season).count(), 0);
}

proptest! {
    /// The scores of all seasons add up to the lifetime energy, and settling does not change the current score.
    #[test]
    fn the_scores_of_all_seasons_add_up_to_the_lifetime_energy(
        change in 0.0..3e6f64,
        stops in proptest::collection::vec(0.0..3e5f64, 1..12),
        presences in proptest::collection::vec(any::<bool>(), 12),
        cranks in 0u64..1000,
    ) {
        let timeline = two_catalogues(change);
        let mut player = with_cranks(cranks, at(0.0));
        let (mut now, mut finished) = (0.0, Vec::new());
        for (stop, present) in stops.iter().zip(presences) {
            now += stop;
            let before = player.clone();
            let score_before = player.season_score(&timeline, at(now));
            if present {
                player.arrive(&timeline, at(now));
            } else {
                player.settle(&timeline, at(now));
            }
            prop_assert!(close(score_before, player.season_score(&timeline, at(now))));
            finished.extend(before.finished_seasons(&timeline, player.season));
        }
        let current = player.season_score(&timeline, at(now));
        let sum: f64 = finished.iter().map(|(_, score)| score).sum();
        prop_assert!(close(sum + current, player.lifetime_energy), "{sum} + {current}");
        prop_assert!(finished.windows(2).all(|pair| pair[0].0.next() == pair[1].0));
        prop_assert!(finished.iter().all(|(_, score)| *score >= 0.0));
    }
}
