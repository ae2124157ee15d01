//! Whatever happens to Redis' answers, all instances together allow what one bucket does, and a player who calls once a
//! second is never refused.

use idlewatt::limit::Quota;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::simulation::{Call, Simulation, Travel};

/// Answers in time, requests that reach Redis late, and answers that arrive late.
fn answered() -> impl Strategy<Value = Travel> {
    let travel = |(done, back)| Travel { done: Some(done), back: Some(done + back) };
    prop_oneof![
        8 => (0..6_000_u64, 0..6_000_u64),
        3 => (0..500_000_u64, 0..490_000_u64),
        3 => (0..10_000_u64, 0..980_000_u64),
    ]
    .prop_map(travel)
}

/// And answers that never arrive, to requests that reach Redis at some time or never.
fn travels() -> impl Strategy<Value = Travel> {
    prop_oneof![
        14 => answered(),
        1 => (0..4_000_000_u64).prop_map(|done| Travel { done: Some(done), back: None }),
        1 => Just(Travel { done: None, back: None }),
    ]
}

fn calls(
    pauses: impl Strategy<Value = u64>,
    costs: impl Strategy<Value = u32>,
    most: usize,
) -> impl Strategy<Value = Vec<Call>> {
    let call = (pauses, 0..5_usize, costs, travels(), prop::bool::weighted(0.05));
    let call = call.prop_map(|(after, instance, cost, travel, is_down)| Call {
        after,
        instance,
        cost,
        travel,
        is_down,
    });
    prop::collection::vec(call, 1..most)
}

fn hammering() -> impl Strategy<Value = Vec<Call>> {
    let pauses = prop_oneof![
        6 => Just(0_u64),
        8 => 1..2_000_u64,
        6 => 2_000..150_000_u64,
        1 => 150_000..2_000_000_u64,
    ];
    calls(pauses, prop_oneof![8 => Just(1_u32), 1 => 2..5_u32], 250)
}

fn quotas() -> impl Strategy<Value = Quota> {
    prop_oneof![
        Just(Quota::per_second(10, 20)),
        Just(Quota::per_second(100, 200)),
        Just(Quota::per_second(1, 5)),
        Just(Quota::per_second(1, 20)),
        Just(Quota::per_second(3, 1)),
        Just(Quota::per_second(7, 2)),
        Just(Quota::per_minute(30)),
    ]
    .prop_map(|quota| quota.expect("a limit"))
}

proptest! {
    #![proptest_config(Config { cases: 1500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn late_and_lost_answers_add_nothing_to_the_bucket(
        quota in quotas(), instances in 1..=5_usize, drawn in 0..30_u32, calls in hammering()
    ) {
        let mut simulation = Simulation::new(quota, instances, calls);
        simulation.draw(drawn);
        simulation.run();
        simulation.check_every_window()?;
    }

    #[test]
    fn one_call_a_second_is_neither_refused_nor_delayed(
        instances in 1..=5_usize,
        is_sticky in any::<bool>(),
        calls in calls(1_000_000..1_600_000_u64, Just(1_u32), 60),
    ) {
        let quota = Quota::per_second(10, 20).expect("a limit");
        let calls = calls.into_iter().map(|call| Call {
            instance: if is_sticky { 0 } else { call.instance },
            ..call
        });
        let mut simulation = Simulation::new(quota, instances, calls.collect());
        simulation.ends_when_away = false;
        simulation.run();
        prop_assert_eq!((simulation.refused, simulation.exhausted), (0, 0));
    }
}
