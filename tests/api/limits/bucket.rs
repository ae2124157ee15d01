//! The bucket in Redis and its leases, compared with a model: never more than the bucket allows, and never less than it
//! should.

use idlewatt::limit::lease::{Decision, Lease};
use idlewatt::limit::question::{Answer, LEASE_MICROS, Question};
use idlewatt::limit::share::Share;
use idlewatt::limit::{BUCKET_SCRIPT, Quota};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::model::{Bucket, Plain, check_every_window};
use crate::support::redis::{new_prefix, shared_redis};

/// The time at which a run begins, in microseconds, because 0 means no time.
const START: u64 = 1_700_000_000_000_000;

/// One event.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Microseconds after the event before.
    after: u64,
    instance: usize,
    cost: u32,
    /// Microseconds that a request to Redis takes, half of it in each direction.
    travel: u64,
    /// Whether the answer is lost.
    lost: bool,
}

fn events(instances: usize, mishaps: bool) -> impl Strategy<Value = Vec<Event>> {
    let pause = prop_oneof![
        6 => Just(0_u64),
        6 => 1..2_000_u64,
        4 => 2_000..150_000_u64,
        2 => 150_000..2_000_000_u64,
        1 => 4_000_000..9_000_000_u64,
    ];
    let travel = if mishaps { 0..40_000_u64 } else { 0..1 };
    let lost = prop::bool::weighted(if mishaps { 0.05 } else { 0.0 });
    let cost = prop_oneof![8 => Just(1_u32), 1 => 2..5_u32];
    let event = (pause, 0..instances, cost, travel, lost);
    let event = event.prop_map(|(after, instance, cost, travel, lost)| Event {
        after,
        instance,
        cost,
        travel,
        lost,
    });
    prop::collection::vec(event, 1..250)
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
    /// By how many nanoseconds each instance's clock is off: they have no common time.
    offsets: [u64; 3],
    share: Share,
    ask: A,
    /// When tokens were spent, in nanoseconds, and how many.
    spent: Vec<(u64, u32)>,
    asked: usize,
}

impl<A: FnMut(u64, Question) -> Answer> Simulation<A> {
    fn new(quota: Quota, instances: usize, ask: A) -> Self {
        let leases = vec![Lease::default(); instances];
        let offsets = [0, 77_000_000_000, 5];
        Self {
            quota,
            now: START,
            leases,
            offsets,
            share: Share::default(),
            ask,
            spent: Vec::new(),
            asked: 0,
        }
    }

    fn local(&self, instance: usize) -> u64 {
        (self.now - START) * 1000 + self.offsets[instance]
    }

    /// Whether the call was allowed, what was left, and how long to wait if it was refused. `None` if the answer was
    /// lost.
    fn call(&mut self, event: Event) -> Option<Result<u64, (u64, u64)>> {
        self.now += event.after;
        let Event { instance, .. } = event;
        let (quota, share) = (self.quota, self.share);
        let cost = quota.cost(event.cost).min(share.most_per_call(quota));
        let local = self.local(instance);
        let lease = &mut self.leases[instance];
        match lease.decide_without_redis(quota, share, local, cost) {
            Some(Decision::Spent { level }) => {
                self.spent.push((self.now * 1000, cost));
                Some(Ok(level))
            }
            Some(Decision::Refused { level, wait }) => Some(Err((level, wait))),
            Some(other) => panic!("{other:?} at hand"),
            None => {
                self.asked += 1;
                let question = lease.question(quota, share, local, cost, quota.burst / 4, 0);
                self.now += event.travel / 2;
                // A request may be lost before it reaches Redis, or its answer after that.
                let heard = !event.lost || event.travel.is_multiple_of(2);
                let answer = heard.then(|| (self.ask)(self.now, question));
                let at = self.now;
                self.now += event.travel / 2;
                let received = self.local(instance);
                let Some(answer) = answer.filter(|_| !event.lost) else {
                    self.leases[instance].give_up(quota);
                    return None;
                };
                self.leases[instance].learn(quota, question, answer, local, received);
                let left = answer.left(quota, share.reserve);
                if !answer.taken {
                    return Some(Err((left, answer.wait)));
                }
                self.spent.push((at * 1000, cost));
                Some(Ok(left))
            }
        }
    }

    /// In no interval was more spent than the depth and the refill.
    fn check_every_window(&mut self) -> Result<(), TestCaseError> {
        check_every_window(self.quota, &mut self.spent)
    }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn one_instance_decides_like_the_plain_bucket(quota in quotas(), events in events(1, false)) {
        let mut bucket = Bucket::default();
        let mut plain = Plain::new(quota, START * 1000);
        let mut simulation = Simulation::new(quota, 1, |now, question| bucket.ask(quota, now, question));
        for event in events {
            // If changes have the same microsecond, the version is ahead of the clock, and the bucket behind it.
            let event = Event { after: event.after.max(1), ..event };
            let told = simulation.call(event).expect("no answer is lost");
            let now = simulation.now * 1000;
            let cost = quota.cost(event.cost);
            let allowed = plain.take(now, cost);
            prop_assert_eq!(told.is_ok(), allowed, "at {}", now);
            match told {
                Ok(level) => prop_assert_eq!(level, plain.level(now)),
                Err((_, wait)) => prop_assert_eq!(wait, quota.worth(cost) - plain.level(now)),
            }
        }
    }

    #[test]
    fn instances_together_never_spend_more_than_the_bucket_allows(
        quota in quotas(), events in events(3, true)
    ) {
        let mut bucket = Bucket::default();
        let mut simulation = Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
        for event in events {
            simulation.call(event);
        }
        simulation.check_every_window()?;
    }

    #[test]
    fn a_client_that_waits_for_retry_after_is_allowed(
        quota in quotas(), reserve in 0..4_u32, events in events(3, true)
    ) {
        let mut bucket = Bucket::default();
        let mut simulation = Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
        simulation.share.reserve = reserve.min(quota.burst / 2);
        for event in events {
            // Calls that cost less are allowed meanwhile, so it takes longer.
            let event = Event { cost: 1, ..event };
            let Some(Err((_, wait))) = simulation.call(event) else { continue };
            // As the client gets it: whole milliseconds.
            let after = wait.div_ceil(1_000_000) * 1000;
            let again = Event { after, travel: 0, lost: false, ..event };
            prop_assert!(simulation.call(again).expect("an answer").is_ok(), "after {wait} ns");
        }
    }

    #[test]
    fn a_dropped_bucket_is_full(quota in quotas(), events in events(3, true)) {
        let mut bucket = Bucket::default();
        let mut last = (START, START);
        let mut simulation = Simulation::new(quota, 3, |now, question| {
            let answer = bucket.ask(quota, now, question);
            last = (bucket.lives, now);
            answer
        });
        for event in events {
            simulation.call(event);
        }
        let (lives, changed) = last;
        if lives > START / 2 {
            return Ok(());
        }
        let question =
            Question { cost: 1, debt: 0, lease_wanted: 0, stamp: 0, unspent: 0, expected_level: 0, reserve: 0 };
        let answer = bucket.ask(quota, changed + lives * 1000, question);
        prop_assert_eq!((answer.level, answer.others), (quota.full() - quota.interval, 0));
    }
}

#[test]
fn under_excess_load_almost_the_whole_rate_is_used() {
    let quota = Quota::per_second(10, 20).expect("a limit");
    let mut bucket = Bucket::default();
    let mut simulation =
        Simulation::new(quota, 3, |now, question| bucket.ask(quota, now, question));
    let event = |call: u64| Event {
        after: 10_000,
        instance: (call % 3) as usize,
        cost: 1,
        travel: 0,
        lost: false,
    };
    // A minute at ten times the rate.
    for call in 0..6000 {
        simulation.call(event(call));
    }
    let spent: u32 = simulation.spent.iter().map(|it| it.1).sum();
    assert!((589..=620).contains(&spent), "{spent} of 620");
    simulation.check_every_window().expect("within the bucket");
}

#[test]
fn leases_save_round_trips_and_waste_no_tokens() {
    let quota = Quota::per_second(10, 20).expect("a limit");
    let mut bucket = Bucket::default();
    let mut simulation =
        Simulation::new(quota, 1, |now, question| bucket.ask(quota, now, question));
    let call = |after| Event { after, instance: 0, cost: 1, travel: 0, lost: false };
    for _ in 0..100 {
        assert!(simulation.call(call(1_000_000)).expect("an answer").is_ok());
    }
    assert!(simulation.asked <= 25, "{} round trips for 100 calls", simulation.asked);
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

/// The script with a clock and a lifetime that the test sets.
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
    fn the_script_conforms_to_the_model(
        quota in quotas(), reserve in 0..4_u32, events in events(3, true)
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
            let lives: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).expect("a life");
            let lives = lives - 900_000;
            let most = i64::try_from(bucket.lives).expect("small") + 2;
            assert!(lives <= most && lives > most - 60_000, "{lives} of {most}");
            answer
        });
        simulation.share.reserve = reserve.min(quota.burst / 2);
        for event in events {
            simulation.call(event);
        }
        simulation.check_every_window()?;
    }
}

#[test]
fn a_backward_clock_step_neither_fills_nor_blocks_a_bucket() {
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
    assert!(!take(START - hour), "it opened");
    // A step of half a second back is waited out; one of an hour is not.
    assert!(take(START - hour + 200_000), "it shut");
}
