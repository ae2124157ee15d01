//! The limiter of one process, compared with a plain token bucket, on a clock that the test controls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use idlewatt::clock::{Clock, ManualClock};
use idlewatt::domain::Timestamp;
use idlewatt::limit::{Key, Local, Policy, Quota};
use proptest::prelude::*;
use proptest::test_runner::Config;
use uuid::Uuid;

use super::models::PlainBucket;

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
    fn the_local_limiter_decides_like_a_plain_bucket(
        rate in 1..200_u32,
        burst in 1..100_u32,
        calls in prop::collection::vec((0..3_usize, 0..300_000_u32, 1..6_u32), 1..200),
    ) {
        let (clock, quota, local) = limiter(rate, burst);
        let mut plain: Vec<_> = (0..3).map(|_| PlainBucket::new(quota, nanos(&clock))).collect();
        for (player, pause, cost) in calls {
            clock.advance(f64::from(pause) / 1e6);
            let verdict = local.check(Key::player(Uuid::from_u128(player as u128)), cost);
            let (now, cost) = (nanos(&clock), quota.cost(cost));
            prop_assert_eq!(verdict.is_allowed(), plain[player].take(now, cost));
            let level = plain[player].level(now);
            prop_assert_eq!(verdict.remaining, quota.tokens(level));
            if let Some(wait) = verdict.retry_after {
                prop_assert_eq!(wait, Duration::from_nanos(quota.worth(cost) - level));
            }
        }
    }
}

#[test]
fn a_million_addresses_use_bounded_memory_and_a_limited_address_stays_limited() {
    let (clock, quota, local) = limiter(1, 20);
    let limited = Key::address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    while local.check(limited, 1).is_allowed() {}
    let mut most = 0;
    for number in 0..1_000_000_u32 {
        let address = match number % 2 {
            0 => IpAddr::V4(Ipv4Addr::from(number)),
            _ => IpAddr::V6(Ipv6Addr::from(u128::from(number) << 64)),
        };
        assert!(local.check(Key::address(address), 1).is_allowed(), "{address} is refused");
        if number % 10_000 == 0 {
            assert!(
                !local.check(limited, 1).is_allowed(),
                "many addresses made the limiter forget one"
            );
            most = most.max(local.remembered());
        }
    }
    assert!(most <= 65_536, "{most} buckets");
    clock.advance(Duration::from_nanos(quota.full()).as_secs_f64() + 2.0);
    local.forget();
    assert_eq!(local.remembered(), 0);
}

#[test]
fn a_bucket_can_start_with_tokens_already_taken() {
    let (clock, quota, local) = limiter(10, 20);
    let key = Key::player(Uuid::from_u128(1));
    assert_eq!(local.missing(key), 0);
    // 15.5 of 20 tokens are taken.
    local.drain(key, quota.worth(15) + quota.interval / 2);
    assert_eq!(local.missing(key), 16);
    for left in (0..4).rev() {
        assert_eq!(local.check(key, 1).remaining, left);
    }
    assert!(!local.check(key, 1).is_allowed());
    // A second call with a smaller number adds no tokens.
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
