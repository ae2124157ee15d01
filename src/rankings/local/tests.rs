//! Tests of older standings, cleared boards and the order of members.

use super::*;

#[test]
fn a_rebuild_fails_if_the_boards_are_cleared() {
    let (local, now) = (Local::default(), Timestamp::from_micros(1));
    let pass = local.begin();
    local.clear();
    assert!(local.finish(pass, Season::at(now), now).is_err());
    assert!(local.page(Board::Season, 0, 1).is_err());
    let pass = local.begin();
    assert!(local.finish(pass, Season::at(now), now).is_ok());
    assert!(local.page(Board::Season, 0, 1).is_ok());
}

#[test]
fn a_standing_of_an_earlier_era_is_not_written() {
    let (local, now) = (Local::default(), Timestamp::from_micros(1));
    let season = Season::at(now);
    let standing = |revision| Standing {
        player: Uuid::from_u128(1),
        stamp: Stamp { revision, at: now },
        place: Some(Place { name: "Ada".into(), scores: [revision as f64; BOARDS] }),
    };
    let publish = |revision, era| {
        let standings = [standing(revision)];
        local.publish(&Publication { season, as_of: now, standings: &standings }, era)
    };
    let era = local.era();
    local.clear();
    publish(9, era).expect("only the boards were cleared");
    local.begin_era();
    assert!(matches!(publish(9, era), Err(Unavailable::Interrupted)));
    let pass = local.begin();
    publish(3, local.era()).expect("of this era");
    local.finish(pass, season, now).expect("complete");
    let list = local.page(Board::LifetimeEnergy, 0, 9).expect("complete");
    assert_eq!(list.entries.iter().map(|entry| entry.score).collect::<Vec<_>>(), [3.0]);
}

#[test]
fn an_older_standing_is_not_written() {
    let (local, player) = (Local::default(), Uuid::from_u128(1));
    let at = |seconds| Timestamp::from_micros(0).plus_seconds(seconds);
    let season = Season::at(at(0.0));
    let publish = |revision, seconds, score: Option<f64>| {
        let place = score.map(|score| Place { name: "Ada".into(), scores: [score; BOARDS] });
        let stamp = Stamp { revision, at: at(seconds) };
        let standings = [Standing { player, stamp, place }];
        let publication = Publication { season, as_of: at(seconds), standings: &standings };
        local.publish(&publication, local.era()).expect("written");
    };
    let pass = local.begin();
    local.finish(pass, season, at(0.0)).expect("complete");
    let scores = || {
        let list = local.page(Board::LifetimeEnergy, 0, 9).expect("complete");
        list.entries.iter().map(|entry| entry.score).collect::<Vec<_>>()
    };
    publish(2, 5.0, Some(10.0));
    publish(1, 9.0, Some(1.0));
    publish(2, 4.0, Some(2.0));
    assert_eq!(scores(), [10.0]);
    publish(2, 6.0, Some(11.0));
    assert_eq!(scores(), [11.0]);
    // A removed player is added again only by a newer standing, also during a rebuild.
    publish(3, 6.0, None);
    publish(2, 9.0, Some(12.0));
    let pass = local.begin();
    local.finish(pass, season, at(10.0)).expect("complete");
    publish(2, 11.0, Some(13.0));
    assert_eq!(scores(), [0.0; 0]);
    publish(4, 12.0, Some(14.0));
    assert_eq!(scores(), [14.0]);
    // A player that a rebuild does not find is removed.
    let pass = local.begin();
    local.finish(pass, season, at(13.0)).expect("complete");
    assert_eq!(scores(), [0.0; 0]);
}

#[test]
fn members_are_ordered_by_score_and_then_by_age() {
    let (old, young) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let scores = [f64::MAX, 1e300, 1.5, 1.0, f64::MIN_POSITIVE, 5e-324, 0.0];
    let members = scores.map(|score| Member::new(young, score));
    assert!(members.is_sorted());
    assert_eq!(members.map(Member::score), scores);
    assert!(Member::new(old, 1.0) < Member::new(young, 1.0));
    assert_eq!(Member::new(old, -0.0), Member::new(old, 0.0));
}
