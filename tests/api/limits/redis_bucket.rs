//! The bucket in Redis and the instances' leases of its tokens, compared with models of token buckets: instances never
//! let more through than the bucket allows, and not noticeably less.

use idlewatt::limit::lease::{Decision, Lease};
use idlewatt::limit::question::{Answer, LEASE_MICROS, Question};
use idlewatt::limit::share::Share;
use idlewatt::limit::{BUCKET_SCRIPT, Quota};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::models::{Bucket, PlainBucket, check_every_interval};
use crate::support::redis::{new_prefix, shared_redis};

/// The time at which a simulation begins, in microseconds. It is not 0, because 0 means "no time" in the bucket.
const START: u64 = 1_700_000_000_000_000;

/// A call to an instance.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// Microseconds after the previous call.
    after: u64,
    instance: usize,
    cost: u32,
    /// Microseconds from a request to Redis until its answer, half of it for each direction.
    round_trip: u64,
    /// Whether the answer is lost.
    lost: bool,
}

fn calls(instances: usize, with_failures: bool) -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![
        6 => Just(0_u64),
        6 => 1..2_000_u64,
        4 => 2_000..150_000_u64,
        2 => 150_000..2_000_000_u64,
        1 => 4_000_000..9_000_000_u64,
    ];
    let round_trip = if with_failures { 0..40_000_u64 } else { 0..1 };
    let lost = prop::bool::weighted(if with_failures { 0.05 } else { 0.0 });
    let cost = prop_oneof![8 => Just(1_u32), 1 => 2..5_u32];
    let call = (pause, 0..instances, cost, round_trip, lost);
    let call = call.prop_map(|(after, instance, cost, round_trip, lost)| Call {
        after,
        instance,
        cost,
        round_trip,
        lost,
    });
    prop::collection::vec(call, 1..250)
}

fn quotas() -> impl Strategy<Value = Quota> {
    prop_oneof![Just((10, 20)), Just((100, 200)), Just((1, 5)), Just((3, 1)), Just((7, 2)),]
        .prop_map(|(rate, burst)| Quota::per_second(rate, burst).expect("a limit"))
}

/// Instances that share a bucket.
struct Simulation<A> {
    quota: Quota,
    now: u64,
    leases: Vec<Lease>,
    /// Nanoseconds added to each instance's clock, because the clocks of instances are independent.
    offsets: [u64; 3],
    share: Share,
    redis: A,
    /// The times at which tokens were spent, in nanoseconds, and how many were spent.
    spent: Vec<(u64, u32)>,
    request_count: usize,
}

impl<A: FnMut(u64, Question) -> Answer> Simulation<A> {
    fn new(quota: Quota, instances: usize, redis: A) -> Self {
        let leases = vec![Lease::default(); instances];
        let offsets = [0, 77_000_000_000, 5];
        Self {
            quota,
            now: START,
            leases,
            offsets,
            share: Share::default(),
            redis,
            spent: Vec::new(),
            request_count: 0,
        }
    }

    fn local_nanos(&self, instance: usize) -> u64 {
        (self.now - START) * 1000 + self.offsets[instance]
    }

    /// Decides one call. Returns what is left in the bucket if the call is allowed; what is left and how long to wait
    /// if it is refused; `None` if the answer of Redis is lost.
    fn call(&mut self, call: Call) -> Option<Result<u64, (u64, u64)>> {
        self.now += call.after;
        let Call { instance, .. } = call;
        let (quota, share) = (self.quota, self.share);
        let cost = quota.cost(call.cost).min(share.most_per_call(quota));
        let now_local = self.local_nanos(instance);
        let lease = &mut self.leases[instance];
        match lease.decide_without_redis(quota, share, now_local, cost) {
            Some(Decision::Spent { level }) => {
                self.spent.push((self.now * 1000, cost));
                Some(Ok(level))
            }
            Some(Decision::Refused { level, wait }) => Some(Err((level, wait))),
            Some(other) => panic!("{other:?} without Redis"),
            None => {
                self.request_count += 1;
                let question = lease.question(quota, share, now_local, cost, quota.burst / 4, 0);
                self.now += call.round_trip / 2;
                // A request may be lost before it reaches Redis, or its answer after that.
                let arrives = !call.lost || call.round_trip.is_multiple_of(2);
                let answer = arrives.then(|| (self.redis)(self.now, question));
                let at = self.now;
                self.now += call.round_trip / 2;
                let received = self.local_nanos(instance);
                let Some(answer) = answer.filter(|_| !call.lost) else {
                    self.leases[instance].give_up(quota);
                    return None;
                };
                self.leases[instance].learn(quota, question, answer, now_local, received);
                let left = answer.left(quota, share.reserve);
                if !answer.taken {
                    return Some(Err((left, answer.wait)));
                }
                self.spent.push((at * 1000, cost));
                Some(Ok(left))
            }
        }
    }

    /// Checks that in no interval more was spent than the bucket's depth and what was refilled.
    fn check_every_interval(&mut self) -> Result<(), TestCaseError> {
        check_every_interval(self.quota, &mut self.spent)
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn one_instance_decides_like_a_plain_bucket(quota in quotas(), calls in calls(1, false)) {
        let mut bucket = Bucket::default();
        let mut plain = PlainBucket::new(quota, START * 1000);
        let mut simulation = Simulation::new(quota, 1, |now, question| bucket.ask(quota, now, question));
        for call in calls {
            // Two changes in the same microsecond would set the version ahead of the clock, and the levels would
            // differ.
            let call = Call { after: call.after.max(1), ..call };
            let result = simulation.call(call).expect("no answer is lost");
            let now = simulation.now * 1000;
            let cost = quota.cost(call.cost);
            let allowed = plain.take(now, cost);
            prop_assert_eq!(result.is_ok(), allowed, "at {}", now);
            match result {
                Ok(level) => prop_assert_eq!(level, plain.level(now)),
                Err((_, wait)) => prop_assert_eq!(wait, quota.worth(cost) - plain.level(now)),
            }
        }
    }

    #[test]
    fn instances_together_spend_at_most_what_the_bucket_allows(
        quota in quotas(), calls in calls(3, true)
    ) {
        let mut bucket = Bucket::default();
        let mut simulation = Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
        for call in calls {
            simulation.call(call);
        }
        simulation.check_every_interval()?;
    }

    #[test]
    fn a_refused_call_is_allowed_after_the_returned_wait(
        quota in quotas(), reserve in 0..4_u32, calls in calls(3, true)
    ) {
        let mut bucket = Bucket::default();
        let mut simulation = Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
        simulation.share.reserve = reserve.min(quota.burst / 2);
        for call in calls {
            // An expensive call may have to wait longer than it was answered, because cheaper calls take tokens in
            // the meantime.
            let call = Call { cost: 1, ..call };
            let Some(Err((_, wait))) = simulation.call(call) else { continue };
            // The client receives the wait in whole milliseconds.
            let after = wait.div_ceil(1_000_000) * 1000;
            let again = Call { after, round_trip: 0, lost: false, ..call };
            prop_assert!(simulation.call(again).expect("an answer").is_ok(), "after {wait} ns");
        }
    }

    #[test]
    fn redis_deletes_a_bucket_only_when_it_is_full(quota in quotas(), calls in calls(3, true)) {
        let mut bucket = Bucket::default();
        let mut last = (START, START);
        let mut simulation = Simulation::new(quota, 3, |now, question| {
            let answer = bucket.ask(quota, now, question);
            last = (bucket.lifetime_millis, now);
            answer
        });
        for call in calls {
            simulation.call(call);
        }
        let (lifetime, changed) = last;
        if lifetime > START / 2 {
            return Ok(());
        }
        let question =
            Question { cost: 1, debt: 0, lease_wanted: 0, stamp: 0, unspent: 0, expected_level: 0, reserve: 0 };
        let answer = bucket.ask(quota, changed + lifetime * 1000, question);
        prop_assert_eq!((answer.level, answer.others), (quota.full() - quota.interval, 0));
    }
}

#[test]
fn under_excess_load_nearly_all_tokens_are_used() {
    let quota = Quota::per_second(10, 20).expect("a limit");
    let mut bucket = Bucket::default();
    let mut simulation =
        Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
    let call = |number: u64| Call {
        after: 10_000,
        instance: (number % 3) as usize,
        cost: 1,
        round_trip: 0,
        lost: false,
    };
    // A minute at ten times the rate.
    for number in 0..6000 {
        simulation.call(call(number));
    }
    let spent: u32 = simulation.spent.iter().map(|it| it.1).sum();
    assert!((589..=620).contains(&spent), "{spent} of 620");
    simulation.check_every_interval().expect("within the bucket");
}

#[test]
fn regular_calls_need_few_round_trips_and_rare_calls_lease_no_tokens() {
    let quota = Quota::per_second(10, 20).expect("a limit");
    let mut bucket = Bucket::default();
    let mut simulation =
        Simulation::new(quota, 1, |now, question| bucket.ask(quota, now, question));
    let call = |after| Call { after, instance: 0, cost: 1, round_trip: 0, lost: false };
    for _ in 0..100 {
        assert!(simulation.call(call(1_000_000)).expect("an answer").is_ok());
    }
    assert!(
        simulation.request_count <= 25,
        "{} round trips for 100 calls",
        simulation.request_count
    );
    let mut last = 0;
    let mut bucket = Bucket::default();
    let mut simulation = Simulation::new(quota, 1, |now, question: Question| {
        last = question.lease_wanted;
        bucket.ask(quota, now, question)
    });
    for _ in 0..20 {
        assert!(simulation.call(call(10_000_000)).expect("an answer").is_ok());
    }
    assert_eq!(last, 0);
}

/// The server's script, with a clock and a lifetime of the key that the test sets.
fn script() -> redis::Script {
    let replaced = |text: String, old: &str, new: &str| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    };
    let text = replaced(BUCKET_SCRIPT.to_owned(), "redis.call('TIME')", "{ ARGV[10], ARGV[11] }");
    redis::Script::new(&replaced(text, "'PX', math.ceil(lives)", "'PX', 900000 + math.ceil(lives)"))
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_redis_script_answers_like_the_model(
        quota in quotas(), reserve in 0..4_u32, calls in calls(3, true)
    ) {
        let client = redis::Client::open(shared_redis()).expect("an address");
        let mut connection = client.get_connection().expect("connected");
        let (script, key) = (script(), format!("{}bucket", new_prefix()));
        let mut bucket = Bucket::default();
        let mut simulation = Simulation::new(quota, 3, |now, question| {
            let expected = bucket.ask(quota, now, question);
            let Question { lease_wanted, stamp, unspent, expected_level, reserve, .. } = question;
            let mut call = script.key(&key);
            call.arg(quota.interval).arg(quota.burst).arg(question.need()).arg(lease_wanted).arg(stamp).arg(unspent);
            call.arg(expected_level).arg(LEASE_MICROS).arg(reserve);
            call.arg(now / 1_000_000).arg(now % 1_000_000);
            let (taken, level, others, lease, version, wait) =
                call.invoke(&mut connection).expect("an answer");
            let answer = Answer { taken, level, others, lease, version, wait };
            assert_eq!(answer, expected, "{question:?} at {now}");
            let lifetime: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).expect("a lifetime");
            let lifetime = lifetime - 900_000;
            let most = i64::try_from(bucket.lifetime_millis).expect("small") + 2;
            assert!(lifetime <= most && lifetime > most - 60_000, "{lifetime} of {most}");
            answer
        });
        simulation.share.reserve = reserve.min(quota.burst / 2);
        for call in calls {
            simulation.call(call);
        }
        simulation.check_every_interval()?;
    }
}

#[test]
fn a_clock_step_back_neither_fills_nor_blocks_a_bucket() {
    let quota = Quota::per_second(10, 20).expect("a limit");
    let client = redis::Client::open(shared_redis()).expect("an address");
    let mut connection = client.get_connection().expect("connected");
    let (script, key) = (script(), format!("{}bucket", new_prefix()));
    let mut take = |now: u64| -> bool {
        let mut call = script.key(&key);
        call.arg(quota.interval).arg(quota.burst).arg(1).arg(0).arg(0).arg(0).arg(0);
        call.arg(LEASE_MICROS).arg(0).arg(now / 1_000_000).arg(now % 1_000_000);
        let answer: Vec<u64> = call.invoke(&mut connection).expect("an answer");
        answer[0] == 1
    };
    assert_eq!((0..30).filter(|_| take(START)).count(), 20);
    let hour = 3_600_000_000;
    assert!(!take(START - hour), "a call is allowed although the bucket is empty");
    // After a step of half a second back, the bucket would wait until the clock reaches the old time again. After a
    // step of an hour it continues at the new time.
    assert!(take(START - hour + 200_000), "the bucket is not refilled after the step back");
}
