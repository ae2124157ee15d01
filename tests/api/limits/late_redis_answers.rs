//! Limits with a real Redis whose answers are late: what three instances together allow, and that a player who calls
//! once a second is not affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::instance_shares::wait_for_share;
use super::many_instances::run_clock_in_real_time;
use super::{DEFAULT_LIMITS, decision_count};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::{Client, Player, TestApp, World};

const RATE: f64 = 10.0;
const BURST: f64 = 20.0;

/// For each allowed call: when it was sent and when it was answered.
type Allowed = Arc<Mutex<Vec<(Instant, Instant)>>>;

async fn call_repeatedly(player: Player, allowed: Allowed, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        let status = player.get("/me").await.status;
        if status == 200 {
            allowed.lock().await.push((sent, Instant::now()));
        }
        assert!([200, 429].contains(&status), "{status}");
        sleep(Duration::from_millis(3)).await;
    }
}

/// Starts instances that share a Redis, each through its own proxy, and waits until they know of each other.
async fn start_instances(server: &RedisServer, count: usize) -> (Vec<TestApp>, Vec<Proxy>) {
    let world = World::new().await.with_redis_of(server);
    let prefix = world.redis.clone().expect("a Redis").1;
    let (mut apps, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let proxy = Proxy::to_redis(server).await;
        let world = World { redis: Some((proxy.redis_url(), prefix.clone())), ..world.clone() };
        apps.push(world.start_with(&DEFAULT_LIMITS).await);
        proxies.push(proxy);
    }
    let known = u32::try_from(count).expect("few");
    join_all(apps.iter().map(|app| wait_for_share(app, known))).await;
    (apps, proxies)
}

/// Delays the answers of Redis on all connections.
fn delay(proxies: &[Proxy], millis: u64) {
    for proxy in proxies {
        proxy.delay_answers(Duration::from_millis(millis));
    }
}

fn late_decisions(apps: &[TestApp], outcome: &str) -> u64 {
    apps.iter().map(|app| decision_count(app, "player", "late", outcome)).sum()
}

#[tokio::test]
async fn late_answers_do_not_raise_what_three_instances_allow() {
    let server = RedisServer::start(&[]);
    let (apps, proxies) = start_instances(&server, 3).await;
    let ada = apps[0].client.guest().await;
    let (allowed, stop) = (Allowed::default(), Arc::new(AtomicBool::new(false)));
    let callers = apps.iter().flat_map(|app| [ada.at(app), ada.at(app)]);
    let callers: Vec<_> = callers
        .map(|player| {
            tokio::spawn(call_repeatedly(player, Arc::clone(&allowed), Arc::clone(&stop)))
        })
        .collect();
    // In each round the answers to two of the instances are late, although Redis has executed the requests.
    for round in 0..12_u64 {
        for (number, proxy) in proxies.iter().enumerate() {
            let is_late = !(round + number as u64).is_multiple_of(3);
            let millis = if is_late { 30 + 40 * (round % 5) } else { 0 };
            proxy.delay_answers(Duration::from_millis(millis));
        }
        sleep(Duration::from_millis(300)).await;
        delay(&proxies, 0);
        sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::SeqCst);
    join_all(callers).await;
    let allowed = allowed.lock().await;
    let mut worst = (f64::MIN, 0, 0.0);
    for &(from, _) in allowed.iter() {
        for &(_, to) in allowed.iter().filter(|it| it.1 > from) {
            // The calls that were certainly decided in that interval.
            let inside = allowed.iter().filter(|it| it.0 >= from && it.1 <= to).count();
            let most = BURST + RATE * (to - from).as_secs_f64();
            if inside as f64 - most > worst.0 {
                worst = (inside as f64 - most, inside, most);
            }
        }
    }
    println!("{} allowed, {} of at most {:.2}, {:+.2}", allowed.len(), worst.1, worst.2, worst.0);
    // The clocks of Redis and of the test may run at slightly different rates.
    assert!(worst.0 <= 0.01, "{} of at most {:.2}", worst.1, worst.2);
    // Some calls were decided without an answer, and nearly all tokens of the bucket were still used.
    assert!(late_decisions(&apps, "allowed") + late_decisions(&apps, "refused") > 0);
    assert!(allowed.len() >= 60, "{} allowed in six seconds", allowed.len());
}

/// Makes one call per second, to each of the instances in turn, until it is stopped.
async fn call_every_second(ada: Player, apps: Vec<Client>, stop: Arc<AtomicBool>) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let at = Player { client: apps[statuses.len() % apps.len()].clone(), ..ada.clone() };
        statuses.push(at.get("/me").await.status);
        sleep(Duration::from_secs(1)).await;
    }
    statuses
}

#[tokio::test]
async fn late_answers_do_not_affect_a_player_who_calls_once_a_second() {
    let server = RedisServer::start(&[]);
    let (apps, proxies) = start_instances(&server, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clock = run_clock_in_real_time(&apps[0].world, &stop);
    let clients: Vec<Client> = apps.iter().map(|app| app.client.clone()).collect();
    let mut callers = Vec::new();
    for number in 0..12 {
        let ada = apps[0].client.guest().await;
        // Half of them stay with one instance.
        let at = if number % 2 == 0 { clients.clone() } else { vec![clients[number % 3].clone()] };
        callers.push(tokio::spawn(call_every_second(ada, at, Arc::clone(&stop))));
        sleep(Duration::from_millis(90)).await;
    }
    // Answers are up to nearly a second late, then Redis does not answer at all for a second.
    for millis in [40, 300, 950] {
        delay(&proxies, millis);
        sleep(Duration::from_secs(1)).await;
        delay(&proxies, 0);
        sleep(Duration::from_millis(500)).await;
    }
    server.freeze();
    sleep(Duration::from_secs(1)).await;
    server.thaw();
    sleep(Duration::from_millis(1500)).await;
    stop.store(true, Ordering::SeqCst);
    for player in callers {
        let statuses = player.await.expect("it plays");
        assert!(statuses.len() >= 5, "{statuses:?}");
        assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
    }
    clock.await.expect("it ends");
    assert!(late_decisions(&apps, "allowed") > 0);
}

#[tokio::test]
async fn calls_beyond_the_credit_wait_for_the_late_answer() {
    let server = RedisServer::start(&[]);
    let (apps, proxies) = start_instances(&server, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clock = run_clock_in_real_time(&apps[0].world, &stop);
    let ada = apps[0].client.guest().await;
    delay(&proxies, 60);
    // As one of three instances, this one may let a single call through on credit. The others wait for the answer.
    let replies = join_all((0..10).map(|_| ada.get("/me"))).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200; 10]);
    stop.store(true, Ordering::SeqCst);
    clock.await.expect("it ends");
    assert!(late_decisions(&apps, "allowed") > 0);
}
