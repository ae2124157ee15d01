//! In a simulation with late and lost answers of Redis, all instances together allow at most what one bucket does, and
//! a player who calls once a second is never refused.

use idlewatt::limit::Quota;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::simulation::{Call, Simulation, Timing};

/// Requests that are answered: in time, executed late by Redis, or with a late answer.
fn answered_timings() -> impl Strategy<Value = Timing> {
    let timing =
        |(executed, back)| Timing { executed: Some(executed), answered: Some(executed + back) };
    prop_oneof![
        8 => (0..6_000_u64, 0..6_000_u64),
        3 => (0..500_000_u64, 0..490_000_u64),
        3 => (0..10_000_u64, 0..980_000_u64),
    ]
    .prop_map(timing)
}

/// Requests that are answered, requests whose answer is lost, and requests that never reach Redis.
fn timings() -> impl Strategy<Value = Timing> {
    prop_oneof![
        14 => answered_timings(),
        1 => (0..4_000_000_u64).prop_map(|executed| Timing { executed: Some(executed), answered: None }),
        1 => Just(Timing { executed: None, answered: None }),
    ]
}

fn calls(
    pauses: impl Strategy<Value = u64>,
    costs: impl Strategy<Value = u32>,
    max_count: usize,
) -> impl Strategy<Value = Vec<Call>> {
    let call = (pauses, 0..5_usize, costs, timings(), prop::bool::weighted(0.05));
    let call = call.prop_map(|(after, instance, cost, timing, is_down)| Call {
        after,
        instance,
        cost,
        timing,
        is_down,
    });
    prop::collection::vec(call, 1..max_count)
}

/// Many calls with short pauses.
fn dense_calls() -> impl Strategy<Value = Vec<Call>> {
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
    fn late_and_lost_answers_allow_no_more_than_one_bucket(
        quota in quotas(), instances in 1..=5_usize, taken in 0..30_u32, calls in dense_calls()
    ) {
        let mut simulation = Simulation::new(quota, instances, calls);
        simulation.take_as_former_instance(taken);
        simulation.run();
        simulation.check_every_interval()?;
    }

    #[test]
    fn one_call_per_second_is_never_refused_or_delayed(
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
        simulation.ends_without_redis = false;
        simulation.run();
        prop_assert_eq!((simulation.refused, simulation.exhausted), (0, 0));
    }
}
