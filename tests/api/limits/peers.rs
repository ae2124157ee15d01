//! How instances agree on what each may allow while Redis is late, when instances come and go: on a clock of the test,
//! and with a real Redis.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use idlewatt::limit::share::{PRESENCE_NANOS, Peers, Presence, Share};
use idlewatt::limit::{Policy, Quota, Quotas};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::LIMITED;
use crate::support::books::eventually;
use crate::support::redis::connect;
use crate::support::{TestApp, World};

/// Nanoseconds of a step of the test's clock.
const STEP: u64 = 50_000_000;

/// Steps between two registrations of an instance: half a second.
const INTERVAL: u64 = 10;

/// Does what `instances.lua` does.
#[derive(Debug, Default)]
struct Registry(BTreeMap<usize, (u64, u64)>);

impl Registry {
    fn ask(&mut self, now: u64, id: usize) -> Presence {
        self.0.retain(|_, &mut (_, seen)| seen + PRESENCE_NANOS >= now);
        let known = self.0.contains_key(&id);
        self.0.entry(id).or_insert((now, now)).1 = now;
        let youngest = self.0.values().map(|it| it.0).max().expect("it is there itself");
        let instances = u32::try_from(self.0.len()).expect("few");
        Presence { instances, youngest_age: now - youngest, known }
    }
}

/// An event of an instance.
#[derive(Clone, Copy, Debug)]
enum Change {
    Start,
    /// It stops, and tells the others.
    Stop,
    /// It crashes.
    Die,
}

/// Events, with the steps before each, and the instance.
fn changes() -> impl Strategy<Value = Vec<(u64, usize, Change)>> {
    let change =
        prop_oneof![3 => Just(Change::Start), 1 => Just(Change::Stop), 1 => Just(Change::Die)];
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

/// Instances, the registry, and a bucket from which each takes as much as it may.
struct Simulation {
    quota: Quota,
    step: u64,
    registry: Registry,
    /// By id: when each started, and what it knows.
    instances: BTreeMap<usize, (u64, Peers)>,
    /// The lowest amount that the bucket may have had.
    level: u64,
    next_id: usize,
}

impl Simulation {
    fn now(&self) -> u64 {
        // Never 0, like a time in Redis.
        1_000_000_000_000 + self.step * STEP
    }

    fn advance(&mut self) {
        self.step += 1;
        let now = self.now();
        self.level = self.quota.full().min(self.level + STEP);
        for (&id, (started, peers)) in &mut self.instances {
            if (self.step - *started).is_multiple_of(INTERVAL) {
                peers.update(now, self.registry.ask(now, id));
            }
        }
    }

    fn shares(&self) -> Vec<Share> {
        self.instances.values().map(|(_, peers)| peers.share(Policy::Player)).collect()
    }

    /// All take as much as they may, the largest share first.
    fn draw(&mut self) {
        let floor = self.shares().iter().map(|share| self.quota.worth(share.reserve)).min();
        self.level = self.level.min(floor.unwrap_or(u64::MAX));
    }

    /// What can be admitted on credit is in the bucket.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut credit = 0;
        for share in self.shares() {
            let part = self.quota.worth(share.part);
            prop_assert!(part <= self.quota.worth(share.reserve) || share.alone_since.is_some());
            // An instance that is alone also knows what it took itself.
            let certain = |since| part.min(self.now() - since).min(self.level);
            credit += share.alone_since.map_or(part, certain);
        }
        prop_assert!(credit <= self.level, "{credit} of {}: {:?}", self.level, self.shares());
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_bucket_always_covers_the_credit_of_all_instances(
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
        for (after, whom, change) in changes {
            for _ in 0..after {
                simulation.advance();
                simulation.draw();
                simulation.check()?;
            }
            let ids: Vec<usize> = simulation.instances.keys().copied().collect();
            match change {
                Change::Start => {
                    let quotas = Quotas::default().with(Policy::Player, Some(quota));
                    simulation.instances.insert(simulation.next_id, (simulation.step, Peers::new(quotas)));
                    simulation.next_id += 1;
                }
                Change::Stop | Change::Die if ids.is_empty() => {}
                Change::Stop => {
                    simulation.instances.remove(&ids[whom % ids.len()]);
                    simulation.registry.0.remove(&ids[whom % ids.len()]);
                }
                Change::Die => drop(simulation.instances.remove(&ids[whom % ids.len()])),
            }
        }
    }
}

/// Waits until an instance knows of so many, and may admit calls on credit.
pub async fn until_shared_by(app: &TestApp, instances: u32) -> Share {
    eventually("instances know of each other", async || {
        let share = app.server.limiter.share(Policy::Player).expect("a Redis");
        (share.instances == instances && share.part > 0).then_some(share)
    })
    .await
}

#[tokio::test]
async fn instances_that_start_and_stop_share_the_reserve() {
    let world = World::new().await.with_redis();
    let mut apps = vec![world.start_with(&LIMITED).await];
    let alone = until_shared_by(&apps[0], 1).await;
    assert_eq!((alone.reserve, alone.part, alone.alone_since.is_some()), (0, 5, true));
    apps.push(world.start_with(&LIMITED).await);
    apps.push(world.start_with(&LIMITED).await);
    for share in join_all(apps.iter().map(|app| until_shared_by(app, 3))).await {
        assert_eq!((share.reserve, share.part, share.alone_since), (3, 1, None));
    }
    // A worker has no share.
    apps.push(world.start_with(&[&LIMITED[..], &[("ROLE", "worker")]].concat()).await);
    assert_eq!(apps[3].server.limiter.share(Policy::Player), None);
    apps.pop().expect("the worker").stop().await;
    // An instance that stops tells the others.
    apps.pop().expect("an instance").stop().await;
    for share in join_all(apps.iter().map(|app| until_shared_by(app, 2))).await {
        assert_eq!((share.reserve, share.part), (2, 1));
    }
    apps.pop().expect("an instance").stop().await;
    assert_eq!(until_shared_by(&apps[0], 1).await.part, 5);
    // An instance that crashes is missed.
    register_ghost(&world).await;
    assert_eq!(until_shared_by(&apps[0], 2).await.part, 1);
    assert_eq!(until_shared_by(&apps[0], 1).await.part, 5);
}

/// Registers an instance in Redis that does not register again.
async fn register_ghost(world: &World) {
    let (url, prefix) = world.redis.as_ref().expect("a Redis");
    let mut connection = connect(url).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{prefix}*limit:instances"))
        .query_async(&mut connection)
        .await
        .expect("told");
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let (seconds, micros): (u64, u64) =
        redis::cmd("TIME").query_async(&mut connection).await.expect("told");
    let now = seconds * 1_000_000 + micros;
    let mut note = redis::cmd("HSET");
    note.arg(key).arg("ghost").arg(format!("{now} {now}"));
    note.exec_async(&mut connection).await.expect("noted");
}
