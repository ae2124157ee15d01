//! One limit for many instances, while Redis is available, unavailable and available again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::instance_shares::wait_for_share;
use super::{DEFAULT_LIMITS, decision_count};
use crate::support::redis::RedisServer;
use crate::support::{Player, TestApp, World};

const RATE: f64 = 10.0;
const BURST: f64 = 20.0;

/// How long the instances are under load. The environment variable `LIMITS_SECONDS` changes it.
#[allow(clippy::disallowed_methods, reason = "only this test has the setting")]
fn load_seconds() -> f64 {
    std::env::var("LIMITS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4.0)
}

async fn wait_for_redis_state(app: &TestApp, up: bool) {
    let redis = app.server.redis.as_ref().expect("a Redis");
    let mut changes = redis.watch();
    let reached = changes.wait_for(|&now| now == up);
    timeout(Duration::from_secs(20), reached)
        .await
        .expect("in time")
        .expect("the state is published");
}

/// Starts instances, and waits until they know of each other.
async fn start(world: &World, instances: u32) -> Vec<TestApp> {
    let apps = join_all((0..instances).map(|_| world.start_with(&DEFAULT_LIMITS))).await;
    join_all(apps.iter().map(|app| wait_for_share(app, instances))).await;
    apps
}

/// Repeats `act` until Redis has answered all its requests in time, because Redis may be late on a busy machine.
async fn repeat_until_in_time<T>(apps: &[TestApp], mut act: impl AsyncFnMut() -> T) -> T {
    let of = |outcome| player_decisions(apps, &["late", "local"], outcome);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = of("allowed") + of("refused");
        let outcome = act().await;
        if of("allowed") + of("refused") == before {
            return outcome;
        }
        assert!(Instant::now() < deadline, "Redis is never in time");
    }
}

/// The number of calls with each outcome.
#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    refused: AtomicU64,
    others: AtomicU64,
}

impl Counts {
    fn allowed(&self) -> f64 {
        self.allowed.load(Ordering::SeqCst) as f64
    }
}

/// Makes one call after another, with short pauses, until it is stopped.
async fn call_repeatedly(player: Player, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let count = match player.get("/me").await.status {
            200 => &counts.allowed,
            429 => &counts.refused,
            _ => &counts.others,
        };
        count.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(10)).await;
    }
}

/// The instances' count of decisions about the player.
fn player_decisions(apps: &[TestApp], stores: &[&str], outcome: &str) -> u64 {
    let of = |app| stores.iter().map(move |store| decision_count(app, "player", store, outcome));
    apps.iter().flat_map(of).sum()
}

#[tokio::test]
async fn three_instances_together_allow_as_much_as_one_bucket() {
    let world = World::new().await.with_redis();
    let apps = start(&world, 3).await;
    let ada = apps[0].client.guest().await;
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let began = Instant::now();
    // Two callers for each instance, each at several times the rate.
    let callers = apps.iter().flat_map(|app| [ada.at(app), ada.at(app)]);
    let callers: Vec<_> = callers
        .map(|player| tokio::spawn(call_repeatedly(player, Arc::clone(&counts), Arc::clone(&stop))))
        .collect();
    sleep(Duration::from_secs_f64(load_seconds())).await;
    let loaded = began.elapsed().as_secs_f64();
    stop.store(true, Ordering::SeqCst);
    join_all(callers).await;
    let lasted = began.elapsed().as_secs_f64();
    assert_eq!(counts.others.load(Ordering::SeqCst), 0);
    let late = player_decisions(&apps, &["late"], "allowed");
    assert_eq!(
        player_decisions(&apps, &["redis", "lease", "late"], "allowed") as f64,
        counts.allowed()
    );
    // This holds whether Redis is in time or late.
    let most = BURST + RATE * lasted;
    assert!(counts.allowed() <= most, "{} of {most}", counts.allowed());
    // The last token of each instance can be used only while Redis is late.
    let least = 0.95 * (BURST - 3.0 + RATE * loaded);
    assert!(counts.allowed() >= least.floor(), "{} of at least {least}", counts.allowed());
    println!("{most:.1} at most, {late} as Redis was late, {counts:?}");
}

#[tokio::test]
async fn a_refusal_by_redis_contains_the_wait_on_every_instance() {
    let world = World::new().await.with_redis();
    let apps = start(&world, 2).await;
    let ada = apps[0].client.guest().await;
    let elsewhere = ada.at(&apps[1]);
    for _ in 0..3 {
        let (refused, later) = repeat_until_in_time(&apps, async || {
            while ada.get("/me").await.status == 200 {}
            // A token may just have been refilled.
            let mut refused = elsewhere.get("/me").await;
            while refused.status == 200 {
                refused = elsewhere.get("/me").await;
            }
            let wait = refused.json["retry_after_ms"].as_u64().expect("a number");
            sleep(Duration::from_millis(wait)).await;
            (refused, elsewhere.get("/me").await)
        })
        .await;
        let refused = refused.expect_problem(429, "rate_limited");
        assert_eq!(refused.header("ratelimit"), "\"player\";r=0;t=1");
        let wait = refused.json["retry_after_ms"].as_u64().expect("a number");
        assert!((1..=100).contains(&wait), "{wait}");
        later.expect(200);
    }
}

#[tokio::test]
async fn most_calls_of_a_busy_player_need_no_round_trip() {
    let world = World::new().await.with_redis();
    let generous = [("RATE_LIMIT_PER_SECOND", "100"), ("RATE_LIMIT_BURST", "200")];
    let app = world.start_with(&generous).await;
    wait_for_redis_state(&app, true).await;
    let ada = app.client.guest().await;
    for _ in 0..100 {
        ada.get("/me").await.expect(200);
    }
    let asked = decision_count(&app, "player", "redis", "allowed");
    let leased = decision_count(&app, "player", "lease", "allowed");
    let alone = decision_count(&app, "player", "local", "allowed");
    assert_eq!(asked + leased + alone, 100);
    assert!(asked <= 20, "{asked} round trips");
    let app = world.start_with(&[&generous[..], &[("RATE_LIMIT_LEASES", "off")]].concat()).await;
    wait_for_redis_state(&app, true).await;
    for _ in 0..20 {
        ada.at(&app).get("/me").await.expect(200);
    }
    assert_eq!(decision_count(&app, "player", "lease", "allowed"), 0);
}

/// Advances the instances' clock in real time, because the clock of Redis runs in real time.
pub fn run_clock_in_real_time(
    world: &World,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    let (world, stop) = (world.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut last = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
            let now = Instant::now();
            world.advance((now - last).as_secs_f64());
            last = now;
        }
    })
}

/// Waits until `further` more calls are allowed, to show that the limiter still allows calls.
async fn wait_for_allowed_calls(counts: &Counts, further: f64) {
    let (aim, deadline) = (counts.allowed() + further, Instant::now() + Duration::from_secs(20));
    while counts.allowed() < aim {
        assert!(Instant::now() < deadline, "too few calls are allowed: {counts:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn limits_hold_while_redis_stops_and_returns() {
    let mut server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let app = start(&world, 1).await.remove(0);
    let ada = app.client.guest().await;
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let clock = run_clock_in_real_time(&world, &stop);
    let began = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(call_repeatedly(ada.clone(), Arc::clone(&counts), Arc::clone(&stop))))
        .collect();
    wait_for_allowed_calls(&counts, BURST + 5.0).await;
    server.kill();
    wait_for_redis_state(&app, false).await;
    wait_for_allowed_calls(&counts, BURST + 5.0).await;
    server.run();
    wait_for_redis_state(&app, true).await;
    wait_for_allowed_calls(&counts, BURST + 5.0).await;
    server.freeze();
    wait_for_redis_state(&app, false).await;
    wait_for_allowed_calls(&counts, 5.0).await;
    server.thaw();
    wait_for_redis_state(&app, true).await;
    wait_for_allowed_calls(&counts, 5.0).await;
    stop.store(true, Ordering::SeqCst);
    join_all(callers).await;
    clock.await.expect("it ends");
    assert_eq!(counts.others.load(Ordering::SeqCst), 0, "{counts:?}");
    assert!(counts.refused.load(Ordering::SeqCst) > 0);
    // Redis lost the bucket when it was killed, so the bucket was full again.
    let most = 2.0 * BURST + RATE * began.elapsed().as_secs_f64();
    assert!(counts.allowed() <= most, "{counts:?}: more than {most}");
    for store in ["redis", "local"] {
        assert!(decision_count(&app, "player", store, "allowed") > 0, "{store}");
    }
}

#[tokio::test]
async fn concurrent_calls_share_one_round_trip() {
    let world = World::new().await.with_redis();
    let apps = start(&world, 1).await;
    let client = &apps[0].client;
    let (replies, lasted, asked) = repeat_until_in_time(&apps, async || {
        let ada = client.guest().await;
        let asked = || {
            player_decisions(&apps, &["redis"], "allowed")
                + player_decisions(&apps, &["redis"], "refused")
        };
        let (began, before) = (Instant::now(), asked());
        let replies = join_all((0..40).map(|_| ada.get("/me"))).await;
        (replies, began.elapsed().as_secs_f64(), asked() - before)
    })
    .await;
    let of = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!(of(200) + of(429), 40);
    let refilled = (RATE * lasted) as usize;
    assert!((20..=20 + refilled).contains(&of(200)), "{} in {lasted} s", of(200));
    // The first request asks for its own token, and the next ones lease tokens; refusals are decided from one answer
    // for each token.
    assert!(asked <= 16 + refilled as u64, "{asked} round trips");
}
