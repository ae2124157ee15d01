//! How much of a bucket each instance may let through on credit, that is, before Redis has answered. It depends on the
//! number of instances, and must be safe while instances start and stop. Tested in a simulation and with a real Redis.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use idlewatt::limit::share::{PRESENCE_NANOS, Peers, Presence, Share};
use idlewatt::limit::{Policy, Quota, Quotas};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::DEFAULT_LIMITS;
use crate::support::books::eventually;
use crate::support::redis::connect;
use crate::support::{TestApp, World};

/// Nanoseconds of one step of the test's clock.
const STEP: u64 = 50_000_000;

/// Steps between two registrations of an instance: half a second.
const REGISTRATION_INTERVAL: u64 = 10;

/// A model of the script `instances.lua`. By instance: when it registered first and last.
#[derive(Debug, Default)]
struct Registry(BTreeMap<usize, (u64, u64)>);

impl Registry {
    fn ask(&mut self, now: u64, id: usize) -> Presence {
        self.0.retain(|_, &mut (_, seen)| seen + PRESENCE_NANOS >= now);
        let known = self.0.contains_key(&id);
        self.0.entry(id).or_insert((now, now)).1 = now;
        let youngest =
            self.0.values().map(|it| it.0).max().expect("the instance itself is registered");
        let instances = u32::try_from(self.0.len()).expect("few");
        Presence { instances, youngest_age: now - youngest, known }
    }
}

/// What happens to an instance.
#[derive(Clone, Copy, Debug)]
enum Change {
    Start,
    /// The instance stops and removes its registration.
    Stop,
    /// The instance crashes and leaves its registration behind.
    Crash,
}

/// Changes: the number of steps before each, which instance, and what happens to it.
fn changes() -> impl Strategy<Value = Vec<(u64, usize, Change)>> {
    let change =
        prop_oneof![3 => Just(Change::Start), 1 => Just(Change::Stop), 1 => Just(Change::Crash)];
    let after = prop_oneof![2 => 0..20_u64, 1 => 20..150_u64];
    prop::collection::vec((after, 0..8_usize, change), 1..30)
}

fn quotas() -> impl Strategy<Value = Quota> {
    prop_oneof![
        Just(Quota::per_second(10, 20)),
        Just(Quota::per_second(100, 200)),
        Just(Quota::per_second(10, 8)),
        Just(Quota::per_second(1, 5)),
        Just(Quota::per_minute(30)),
    ]
    .prop_map(|quota| quota.expect("a limit"))
}

/// Instances, their registry, and a bucket from which each instance takes as much as it may.
struct Simulation {
    quota: Quota,
    step: u64,
    registry: Registry,
    /// By id: the step in which an instance started, and what it knows of the others.
    instances: BTreeMap<usize, (u64, Peers)>,
    /// The lowest amount that the bucket may have had.
    level: u64,
    next_id: usize,
}

impl Simulation {
    fn now(&self) -> u64 {
        1_000_000_000_000 + self.step * STEP
    }

    fn advance(&mut self) {
        self.step += 1;
        let now = self.now();
        self.level = self.quota.full().min(self.level + STEP);
        for (&id, (started, peers)) in &mut self.instances {
            if (self.step - *started).is_multiple_of(REGISTRATION_INTERVAL) {
                peers.update(now, self.registry.ask(now, id));
            }
        }
    }

    fn shares(&self) -> Vec<Share> {
        self.instances.values().map(|(_, peers)| peers.share(Policy::Player)).collect()
    }

    /// Every instance takes tokens through Redis until only its reserve is left in the bucket.
    fn take_all(&mut self) {
        let lowest_reserve =
            self.shares().iter().map(|share| self.quota.worth(share.reserve)).min();
        self.level = self.level.min(lowest_reserve.unwrap_or(u64::MAX));
    }

    /// Checks that the bucket has at least what all instances together may let through on credit.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut credit = 0;
        for share in self.shares() {
            let part = self.quota.worth(share.part);
            prop_assert!(part <= self.quota.worth(share.reserve) || share.alone_since.is_some());
            // A single instance lets through at most what was certainly refilled since it has been alone.
            let limited = |since| part.min(self.now() - since).min(self.level);
            credit += share.alone_since.map_or(part, limited);
        }
        prop_assert!(credit <= self.level, "{credit} of {}: {:?}", self.level, self.shares());
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_bucket_always_covers_what_all_instances_may_let_through_on_credit(
        quota in quotas(), changes in changes()
    ) {
        let mut simulation = Simulation {
            quota,
            step: 0,
            registry: Registry::default(),
            instances: BTreeMap::new(),
            level: quota.full(),
            next_id: 0,
        };
        for (after, which, change) in changes {
            for _ in 0..after {
                simulation.advance();
                simulation.take_all();
                simulation.check()?;
            }
            let ids: Vec<usize> = simulation.instances.keys().copied().collect();
            match change {
                Change::Start => {
                    let quotas = Quotas::default().with(Policy::Player, Some(quota));
                    simulation.instances.insert(simulation.next_id, (simulation.step, Peers::new(quotas)));
                    simulation.next_id += 1;
                }
                Change::Stop | Change::Crash if ids.is_empty() => {}
                Change::Stop => {
                    simulation.instances.remove(&ids[which % ids.len()]);
                    simulation.registry.0.remove(&ids[which % ids.len()]);
                }
                Change::Crash => drop(simulation.instances.remove(&ids[which % ids.len()])),
            }
        }
    }
}

/// Waits until an instance knows that there are `instances` instances and may let calls through on credit.
pub async fn wait_for_share(app: &TestApp, instances: u32) -> Share {
    eventually("instances know of each other", async || {
        let share = app.server.limiter.share(Policy::Player).expect("a Redis");
        (share.instances == instances && share.part > 0).then_some(share)
    })
    .await
}

#[tokio::test]
async fn the_share_of_each_instance_follows_the_number_of_instances() {
    let world = World::new().await.with_redis();
    let mut apps = vec![world.start_with(&DEFAULT_LIMITS).await];
    let alone = wait_for_share(&apps[0], 1).await;
    assert_eq!((alone.reserve, alone.part, alone.alone_since.is_some()), (0, 5, true));
    apps.push(world.start_with(&DEFAULT_LIMITS).await);
    apps.push(world.start_with(&DEFAULT_LIMITS).await);
    for share in join_all(apps.iter().map(|app| wait_for_share(app, 3))).await {
        assert_eq!((share.reserve, share.part, share.alone_since), (3, 1, None));
    }
    // A worker has no share.
    apps.push(world.start_with(&[&DEFAULT_LIMITS[..], &[("ROLE", "worker")]].concat()).await);
    assert_eq!(apps[3].server.limiter.share(Policy::Player), None);
    apps.pop().expect("the worker").stop().await;
    // An instance that stops removes its registration.
    apps.pop().expect("an instance").stop().await;
    for share in join_all(apps.iter().map(|app| wait_for_share(app, 2))).await {
        assert_eq!((share.reserve, share.part), (2, 1));
    }
    apps.pop().expect("an instance").stop().await;
    assert_eq!(wait_for_share(&apps[0], 1).await.part, 5);
    // An instance that crashed counts until its registration expires.
    register_crashed_instance(&world).await;
    assert_eq!(wait_for_share(&apps[0], 2).await.part, 1);
    assert_eq!(wait_for_share(&apps[0], 1).await.part, 5);
}

/// Registers an instance in Redis once, as if it had crashed afterwards.
async fn register_crashed_instance(world: &World) {
    let (url, prefix) = world.redis.as_ref().expect("a Redis");
    let mut connection = connect(url).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{prefix}*limit:instances"))
        .query_async(&mut connection)
        .await
        .expect("keys");
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let (seconds, micros): (u64, u64) =
        redis::cmd("TIME").query_async(&mut connection).await.expect("a time");
    let now = seconds * 1_000_000 + micros;
    let mut register = redis::cmd("HSET");
    register.arg(key).arg("crashed").arg(format!("{now} {now}"));
    register.exec_async(&mut connection).await.expect("registered");
}
