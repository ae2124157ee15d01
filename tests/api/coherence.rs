//! Several instances on one database: how soon a change at one is visible at another, whatever happens to the channel
//! between them.

use std::time::{Duration, Instant};

use redis::AsyncCommands;

use crate::support::redis::{RedisCluster, RedisServer, TlsRedis, shared_redis};
use crate::support::{Options, Player, TestApp, UNLIMITED, World};

/// How long a change may take to become visible, whatever fails.
const BOUND: Duration = Duration::from_secs(5);

/// Reads until the player's version is `version`, checks that it never goes back, and returns how long that took.
async fn until_seen(player: &Player, version: u64) -> Duration {
    let started = Instant::now();
    let mut seen = 0;
    loop {
        let now = player.state().await["version"].as_u64().expect("a number");
        assert!(now >= seen, "from {seen} back to {now}");
        seen = now;
        if seen == version {
            return started.elapsed();
        }
        assert!(started.elapsed() < BOUND, "still {seen} and not {version}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the instances rely on announcements: then cached rows are served without being read again.
async fn until_trusted(apps: &[&TestApp]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for app in apps {
        let player = app.client.guest().await;
        loop {
            player.state().await;
            let loads = app.metric("cache_reads_total{entry=\"player\",source=\"memory\"}");
            tokio::time::sleep(Duration::from_millis(1100)).await;
            player.state().await;
            if app.metric("cache_reads_total{entry=\"player\",source=\"memory\"}") > loads {
                break;
            }
            assert!(Instant::now() < deadline, "announcements are not trusted");
        }
    }
}

#[tokio::test]
async fn a_change_at_one_instance_is_seen_at_the_others() {
    exchange(&World::new().await.with_redis(), &[]).await;
}

#[tokio::test]
async fn changes_are_seen_over_tls_with_a_password_and_a_database_number() {
    let redis = TlsRedis::start();
    let world = World::new().await.with_redis_at(redis.url());
    let ca_file = redis.ca_file.to_str().expect("a path in UTF-8");
    exchange(&world, &[("REDIS_CA_FILE", ca_file)]).await;
}

#[tokio::test]
async fn changes_are_seen_with_a_redis_cluster() {
    let cluster = RedisCluster::start().await;
    let world = World::new().await.with_redis_at(cluster.url());
    exchange(&world, &[]).await;
    let mut keys = 0;
    for node in cluster.nodes() {
        let size: redis::RedisResult<usize> =
            redis::cmd("DBSIZE").query_async(&mut node.connect().await).await;
        keys += usize::from(size.expect("told") > 0);
    }
    assert!(keys > 1, "everything is on one node");
}

/// Three instances change players in turn, and the others see it.
async fn exchange(world: &World, options: Options<'_>) {
    let start = async || world.start_with(options).await;
    let (a, b, c) = (start().await, start().await, start().await);
    until_trusted(&[&a, &b, &c]).await;
    let player = a.client.guest().await;
    // Each node has some of many players.
    for _ in 0..12 {
        a.client.guest().await.state().await;
    }
    for (version, (writer, readers)) in
        (1..=30).zip([(&a, [&b, &c]), (&b, [&c, &a]), (&c, [&a, &b])].iter().cycle())
    {
        for reader in readers {
            player.at(reader).state().await;
        }
        player.at(writer).click(1).await.expect(200);
        assert_eq!(player.at(writer).state().await["version"], version, "its own change");
        for reader in readers {
            until_seen(&player.at(reader), version).await;
        }
    }
    // The announcements were the reason: nothing was read from the database again.
    let loads: f64 = [&a, &b, &c].iter().map(|app| app.loads()).sum();
    assert!(loads < 27.0, "{loads} loads");
    for app in [a, b, c] {
        app.stop().await;
    }
}

#[tokio::test]
async fn names_bans_and_deletions_are_announced_too() {
    let world = World::new().await.with_redis();
    let (a, b) = (world.start().await, world.start().await);
    until_trusted(&[&a, &b]).await;
    let player = a.client.guest().await;
    player.at(&b).state().await;
    let body = serde_json::json!({ "username": "ada_l", "password": "correct horse" });
    let reply = a.client.call("POST", "/auth/register", &player.token, Some(body)).await;
    let player = Player::of(&a.client, &reply.expect(201));
    assert_eq!(player.state().await["username"], "ada_l");
    until_seen(&player.at(&b), 1).await;
    assert_eq!(player.at(&b).state().await["username"], "ada_l");
    let profile = format!("/players/{}", player.id);
    b.client.call("GET", &profile, "", None).await.expect(200);
    player.client.call("DELETE", "/me", &player.token, None).await.expect(204);
    a.client.call("GET", &profile, "", None).await.expect(404);
    let started = Instant::now();
    while b.client.call("GET", &profile, "", None).await.status != 404 {
        assert!(started.elapsed() < BOUND, "a deleted player is still shown");
    }
    a.stop().await;
    b.stop().await;
}

/// Interrupts the announcements in some way and checks that changes become visible nevertheless.
async fn seen_without_announcements(world: &World, cut: impl AsyncFn(&TestApp, &TestApp)) {
    let (a, b) = (world.start().await, world.start().await);
    until_trusted(&[&a, &b]).await;
    let player = a.client.guest().await;
    player.at(&b).state().await;
    cut(&a, &b).await;
    for version in 1..=3 {
        player.click(1).await.expect(200);
        until_seen(&player.at(&b), version).await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_closed_channel_causes_no_stale_reads() {
    let world = World::new().await.with_redis();
    seen_without_announcements(&world, async |_, _| {
        let mut connection = crate::support::redis::connect(shared_redis()).await;
        let kill: redis::RedisResult<i64> = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("pubsub")
            .query_async(&mut connection)
            .await;
        kill.expect("killed");
    })
    .await;
}

#[tokio::test]
async fn a_silent_channel_causes_no_stale_reads() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    seen_without_announcements(&world, async |_, _| {
        // Publishing is forbidden; everything else works.
        let mut connection = server.connect().await;
        let set: redis::RedisResult<()> = redis::cmd("ACL")
            .arg(&["SETUSER", "default", "-publish"])
            .query_async(&mut connection)
            .await;
        set.expect("set");
    })
    .await;
}

#[tokio::test]
async fn a_killed_or_frozen_redis_causes_no_stale_reads() {
    for freeze in [false, true] {
        let mut server = RedisServer::start(&[]);
        let world = World::new().await.with_redis_of(&server);
        let (a, b) = (world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await);
        until_trusted(&[&a, &b]).await;
        let player = a.client.guest().await;
        player.at(&b).state().await;
        if freeze {
            server.freeze();
        } else {
            server.kill();
        }
        for version in 1..=3 {
            player.click(1).await.expect(200);
            until_seen(&player.at(&b), version).await;
        }
        if freeze {
            server.thaw();
        } else {
            server.run();
        }
        // What was in Redis before is not served afterwards.
        for version in 4..=6 {
            player.at(&b).click(1).await.expect(200);
            until_seen(&player, version).await;
        }
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test]
async fn changes_of_an_instance_without_redis_are_seen() {
    let world = World::new().await.with_redis();
    let a = world.start_with(&[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    let b = world.start().await;
    let player = b.client.guest().await;
    // Long enough for `b` to rely on announcements, if `a` had not noted in the database that it cannot announce.
    until_silence_is_known(&world).await;
    for version in 1..=3 {
        player.state().await;
        player.at(&a).click(1).await.expect(200);
        until_seen(&player, version).await;
    }
    a.stop().await;
    b.stop().await;
}

async fn until_silence_is_known(world: &World) {
    let database = world.connect().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let count = "select count(*) from silences";
    while database.query_one(count, &[]).await.expect("counted").get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline, "nobody says that it cannot announce");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_thousand_concurrent_cold_reads_cause_one_query() {
    for redis in [false, true] {
        let world = World::new().await;
        let world = if redis { world.with_redis() } else { world };
        let first = world.start().await;
        let player = first.client.guest().await;
        let app = world.start().await;
        let before = app.loads();
        let handle = app.server.game.handle(player.id.parse().expect("an id"));
        let reads = (0..1000).map(|_| app.server.game.state(&handle));
        for read in futures_util::future::join_all(reads).await {
            read.expect("read");
        }
        assert_eq!(app.loads() - before, 1.0, "with Redis: {redis}");
        first.stop().await;
        app.stop().await;
    }
}

#[tokio::test]
async fn a_row_read_by_one_instance_is_found_in_redis_by_another() {
    let world = World::new().await.with_redis();
    let (a, b) = (world.start().await, world.start().await);
    until_trusted(&[&a, &b]).await;
    let loads = b.loads();
    let player = a.client.guest().await;
    player.state().await;
    let mut connection = crate::support::redis::connect(shared_redis()).await;
    let key = b.redis_key(&format!("player:{}", player.id));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !connection.exists::<_, bool>(&key).await.expect("asked") {
        assert!(Instant::now() < deadline, "it is not in Redis");
    }
    player.at(&b).state().await;
    assert_eq!(b.loads(), loads);
    let left: i64 = connection.pttl(&key).await.expect("asked");
    assert!((1..=5000).contains(&left), "{left}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn reads_continue_for_a_limited_time_without_the_database() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    player.click(3).await.expect(200);
    let version = player.state().await["version"].clone();
    app.world.cut_database().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    // A second later the row is not fresh any more, and is served nevertheless.
    while app.metric("cache_reads_total{entry=\"player\",source=\"stale\"}") < 1.0 {
        assert_eq!(player.get("/me").await.expect(200).json["version"], version);
        assert!(Instant::now() < deadline, "it never was past its time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    player.click(1).await.expect_problem(503, "unavailable");
    assert_eq!(player.get("/me").await.expect(200).json["version"], version);
    app.world.mend_database().await;
    while player.click(1).await.status != 200 {
        assert!(Instant::now() < deadline + Duration::from_secs(10), "it is not taken back");
    }
    app.stop().await;
}
