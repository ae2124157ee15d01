//! A Redis whose user lacks rights: the server works without it, steadily, and names the missing rights.

use std::fs;
use std::path::Path;

use idlewatt::config::{RedisConfig, Secret};
use idlewatt::redis_client::Redis;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use crate::rankings::rebuild;
use crate::redis_outages::wait_for;
use crate::support::books::eventually;
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::{TestApp, UNLIMITED, World};

/// The prefix in the rules of these tests.
const PREFIX: &str = "idlewatt:";

/// The rule of the handbook, as words.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let handbook = fs::read_to_string(path).expect("the handbook");
    let (_, rule) = handbook.split_once("    ACL SETUSER idlewatt ").expect("a rule");
    // It is wrapped; its lines have the same indentation.
    let lines =
        rule.lines().enumerate().take_while(|(n, line)| *n == 0 || line.starts_with("    "));
    let words =
        lines.flat_map(|(_, line)| line.split_whitespace().map(|it| it.trim_end_matches('\\')));
    words.filter(|word| !word.is_empty()).map(|word| word.replace(">PASSWORD", ">pw")).collect()
}

async fn allow(redis: &mut MultiplexedConnection, user: &str, rule: &[String]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(user).arg("reset").arg(rule);
    command.exec_async(redis).await.expect("a rule");
}

fn words(rule: &str) -> Vec<String> {
    rule.split(' ').map(str::to_owned).collect()
}

fn config(server: &RedisServer, user: &str) -> RedisConfig {
    let url = format!("redis://{user}:pw@127.0.0.1:{}", server.port());
    RedisConfig { url: Secret::new(url), key_prefix: PREFIX.to_owned(), ca_file: None }
}

async fn start(world: &World, server: &RedisServer, user: &str) -> TestApp {
    let url = config(server, user).url.reveal().to_owned();
    let settings = [("REDIS_URL", &*url), ("REDIS_KEY_PREFIX", PREFIX)];
    world.start_with(&[&settings[..], UNLIMITED].concat()).await
}

async fn connections(redis: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query_async(redis).await.expect("told");
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("counted").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_redis_with_some_rights_missing_is_not_used() {
    let server = RedisServer::start(&[]);
    let mut redis = server.connect().await;
    let world = World::new().await;
    for (user, rule, missing) in [
        (
            "no_scripts",
            "on >pw ~idlewatt:* &idlewatt:* +@read +@write +@connection +@pubsub +info +time",
            &["+evalsha", "+script|load"][..],
        ),
        ("no_channels", "on >pw ~* resetchannels +@all", &["&idlewatt:*"]),
        ("no_keys", "on >pw ~other:* &* +@all", &["~idlewatt:*"]),
        ("no_writes", "on >pw %R~* &* +@all", &["~idlewatt:*"]),
        ("no_info_and_time", "on >pw ~* &* +@all -@dangerous -hello -time", &["+time"]),
    ] {
        allow(&mut redis, user, &words(rule)).await;
        let told = Redis::check(&config(&server, user)).await.expect_err(user).to_string();
        assert!(missing.iter().all(|right| told.contains(right)), "{user}: {told}");
        let rights = told.matches([' ']).count();
        assert!(rights < 30 && !told.contains("pw"), "{user}: {told}");
        let app = start(&world, &server, user).await;
        let up = app.server.redis.as_ref().expect("a Redis").watch();
        wait_for(&app, "degraded", "down").await;
        let before = connections(&mut redis).await;
        let player = app.client.guest().await;
        eventually("Redis is tried again", async || {
            player.click(1).await.expect(200);
            player.get("/rankings").await.expect(200);
            (connections(&mut redis.clone()).await > before + 6).then_some(())
        })
        .await;
        assert!(!up.has_changed().expect("it is watched"), "{user}: it was there for a moment");
        assert_eq!(app.metric("redis_breaker_opened_total"), 0.0, "{user}");
        allow(&mut redis, user, &documented()).await;
        wait_for(&app, "ok", "ok").await;
        app.stop().await;
    }
}

#[tokio::test]
async fn removed_rights_are_reported_once() {
    let server = RedisServer::start(&[]);
    let mut redis = server.connect().await;
    allow(&mut redis, "game", &documented()).await;
    let app = start(&World::new().await, &server, "game").await;
    wait_for(&app, "ok", "ok").await;
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg("game")
        .arg("-evalsha")
        .exec_async(&mut redis)
        .await
        .expect("taken");
    wait_for(&app, "degraded", "down").await;
    let before = connections(&mut redis).await;
    eventually("Redis is tried again", async || {
        (connections(&mut redis.clone()).await > before + 6).then_some(())
    })
    .await;
    assert_eq!(app.metric("redis_breaker_opened_total"), 1.0);
    app.stop().await;
}

#[tokio::test]
async fn the_documented_acl_rule_is_sufficient_and_minimal() {
    let server = RedisServer::start(&[]);
    let mut redis = server.connect().await;
    let rule = documented();
    allow(&mut redis, "game", &rule).await;
    let world = World::new().await;
    let app = start(&world, &server, "game").await;
    let other = start(&world, &server, "game").await;
    wait_for(&app, "ok", "ok").await;
    wait_for(&other, "ok", "ok").await;
    let player = app.client.register("ada").await;
    for version in 1..=5 {
        player.click(1).await.expect(200);
        app.client.guest().await.state().await;
        assert_eq!(player.state().await["version"], version);
    }
    rebuild(&app).await;
    rebuild(&app).await;
    let path = format!("/players/{}/ban", player.id);
    app.client.admin("POST", &path, Some(json!({}))).await.expect(204);
    app.server.rankings.publish().await.expect("published");
    let failures = app.metric("redis_failures_total") + other.metric("redis_failures_total");
    other.stop().await;
    assert_eq!(failures, 0.0);
    let denied: Vec<redis::Value> =
        redis::cmd("ACL").arg("LOG").query_async(&mut redis).await.expect("told");
    // The client library sends its name, and ignores a refusal.
    let denied: Vec<_> = denied.into_iter().map(|entry| format!("{entry:?}")).collect();
    let denied = denied.iter().find(|entry| !entry.contains("client|setinfo"));
    assert_eq!(denied, None);
    app.stop().await;
    // For clusters, for another database than 0, and for detecting them.
    let at_times = ["+hello", "+info", "+select", "+ping", "+cluster|slots"];
    for word in rule.iter().filter(|word| word.starts_with(['+', '~', '&'])) {
        if at_times.contains(&&**word) {
            continue;
        }
        let others: Vec<_> = rule.iter().filter(|it| *it != word).cloned().collect();
        allow(&mut redis, "less", &others).await;
        let told = Redis::check(&config(&server, "less")).await.expect_err(word).to_string();
        assert!(told.contains(word.as_str()), "{word}: {told}");
    }
}

#[tokio::test]
async fn a_cluster_is_detected_by_either_command() {
    let cluster = RedisCluster::start().await;
    for without in ["+info", "+hello"] {
        let rule: Vec<_> = documented().into_iter().filter(|word| word != without).collect();
        for node in cluster.nodes() {
            allow(&mut node.connect().await, "game", &rule).await;
        }
        let app = start(&World::new().await, &cluster.nodes()[0], "game").await;
        wait_for(&app, "ok", "ok").await;
        let player = app.client.guest().await;
        for version in 1..=5 {
            player.click(1).await.expect(200);
            app.client.guest().await.state().await;
            assert_eq!(player.state().await["version"], version);
        }
        rebuild(&app).await;
        assert_eq!(app.metric("redis_breaker_opened_total"), 0.0, "{without}");
        app.stop().await;
    }
}

/// Keys of other programs with the names of ours.
#[tokio::test]
async fn keys_of_another_type_are_replaced() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let limits = [
        ("RATE_LIMIT_PER_SECOND", "50"),
        ("RATE_LIMIT_BURST", "100"),
        ("RATE_LIMIT_LEASES", "off"),
    ];
    let app = world.start_with(&limits).await;
    wait_for(&app, "ok", "ok").await;
    let mut redis = server.connect().await;
    let player = app.client.register("ada").await;
    player.state().await;
    rebuild(&app).await;
    let ours: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut redis).await.expect("keys");
    assert!(ours.len() >= 9, "{ours:?}");
    let mut epoch = None;
    for key in &ours {
        epoch = epoch.or(key.ends_with("{rankings}:epoch").then_some(key));
        redis::pipe().del(key).lpush(key, "not ours").exec_async(&mut redis).await.expect("put");
    }
    assert!(epoch.is_some(), "{ours:?}");
    let up = app.server.redis.as_ref().expect("a Redis").watch();
    eventually("every key that is in use is replaced", async || {
        player.click(1).await.expect(200);
        let stranger = app.client.guest().await;
        stranger.state().await;
        app.client
            .call(
                "POST",
                "/auth/login",
                "",
                Some(json!({ "username": "ada", "password": "wrong wrong" })),
            )
            .await;
        rebuild(&app).await;
        let mut left = Vec::new();
        for key in &ours {
            let kind: String =
                redis::cmd("TYPE").arg(key).query_async(&mut redis.clone()).await.expect("told");
            left.extend((kind == "list").then_some(key));
        }
        // A player who is in memory is not read from Redis.
        left.retain(|key| !key.contains(":player:"));
        left.is_empty().then_some(())
    })
    .await;
    assert!(!up.has_changed().expect("it is watched"), "Redis counted as away");
    assert_eq!(app.metric("redis_breaker_opened_total"), 0.0);
    app.stop().await;
}
