//! The limiter of one process, compared with the plain bucket, on a clock that the test moves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use idlewatt::clock::{Clock, ManualClock};
use idlewatt::domain::Timestamp;
use idlewatt::limit::{Key, Local, Policy, Quota};
use proptest::prelude::*;
use proptest::test_runner::Config;
use uuid::Uuid;

use super::model::Plain;

fn limiter(rate: u32, burst: u32) -> (Arc<ManualClock>, Quota, Local) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let quota = Quota::per_second(rate, burst).expect("a limit");
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    (clock, quota, Local::new(Policy::Address, quota, shared))
}

fn nanos(clock: &ManualClock) -> u64 {
    u64::try_from(clock.steady().as_nanos()).expect("small")
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_local_limiter_decides_like_the_plain_bucket(
        rate in 1..200_u32,
        burst in 1..100_u32,
        calls in prop::collection::vec((0..3_usize, 0..300_000_u32, 1..6_u32), 1..200),
    ) {
        let (clock, quota, local) = limiter(rate, burst);
        let mut plain: Vec<_> = (0..3).map(|_| Plain::new(quota, nanos(&clock))).collect();
        for (who, pause, cost) in calls {
            clock.advance(f64::from(pause) / 1e6);
            let verdict = local.check(Key::player(Uuid::from_u128(who as u128)), cost);
            let (now, cost) = (nanos(&clock), quota.cost(cost));
            prop_assert_eq!(verdict.is_allowed(), plain[who].take(now, cost));
            let level = plain[who].level(now);
            prop_assert_eq!(verdict.remaining, quota.tokens(level));
            if let Some(wait) = verdict.retry_after {
                prop_assert_eq!(wait, Duration::from_nanos(quota.worth(cost) - level));
            }
        }
    }
}

#[test]
fn a_million_addresses_take_bounded_memory_and_no_limit_is_lost() {
    let (clock, quota, local) = limiter(1, 20);
    let hammering = Key::address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    while local.check(hammering, 1).is_allowed() {}
    let mut most = 0;
    for number in 0..1_000_000_u32 {
        let address = match number % 2 {
            0 => IpAddr::V4(Ipv4Addr::from(number)),
            _ => IpAddr::V6(Ipv6Addr::from(u128::from(number) << 64)),
        };
        assert!(local.check(Key::address(address), 1).is_allowed(), "{address} is shut out");
        if number % 10_000 == 0 {
            assert!(!local.check(hammering, 1).is_allowed(), "the crowd let it off");
            most = most.max(local.remembered());
        }
    }
    assert!(most <= 65_536, "{most} buckets");
    clock.advance(Duration::from_nanos(quota.full()).as_secs_f64() + 2.0);
    local.forget();
    assert_eq!(local.remembered(), 0);
}

#[test]
fn a_partly_used_bucket_can_be_taken_over() {
    let (clock, quota, local) = limiter(10, 20);
    let key = Key::player(Uuid::from_u128(1));
    assert_eq!(local.missing(key), 0);
    // Half a token less than five.
    local.drain(key, quota.worth(15) + quota.interval / 2);
    assert_eq!(local.missing(key), 16);
    for left in (0..4).rev() {
        assert_eq!(local.check(key, 1).remaining, left);
    }
    assert!(!local.check(key, 1).is_allowed());
    // That never fills it.
    local.drain(key, quota.worth(1));
    assert!(!local.check(key, 1).is_allowed());
    clock.advance(0.05);
    assert!(local.check(key, 1).is_allowed());
    clock.advance(1.9);
    assert_eq!(local.missing(key), 1);
    clock.advance(0.1);
    assert_eq!(local.missing(key), 0);
    // Other buckets are full.
    assert_eq!(local.check(Key::player(Uuid::from_u128(2)), 1).remaining, 19);
}
