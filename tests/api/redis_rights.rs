//! A Redis user without all required rights: the server works without Redis, does not switch back and forth, and names
//! the missing rights.

use std::fs;
use std::path::Path;

use idlewatt::config::{RedisConfig, Secret};
use idlewatt::redis_client::Redis;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use crate::rankings::rebuild;
use crate::redis_outages::wait_for_readyz;
use crate::support::books::eventually;
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::{TestApp, UNLIMITED, World};

/// The prefix in the rules of these tests.
const PREFIX: &str = "idlewatt:";

/// The ACL rule in `docs/operations.md`, as words.
fn documented_rule() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let handbook = fs::read_to_string(path).expect("the handbook");
    let (_, rule) = handbook.split_once("    ACL SETUSER idlewatt ").expect("a rule");
    // The rule has several lines with the same indentation.
    let lines =
        rule.lines().enumerate().take_while(|(n, line)| *n == 0 || line.starts_with("    "));
    let words =
        lines.flat_map(|(_, line)| line.split_whitespace().map(|it| it.trim_end_matches('\\')));
    words.filter(|word| !word.is_empty()).map(|word| word.replace(">PASSWORD", ">pw")).collect()
}

async fn set_user(redis: &mut MultiplexedConnection, user: &str, rule: &[String]) {
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
    let info: String =
        redis::cmd("INFO").arg("stats").query_async(redis).await.expect("statistics");
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("counted").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_redis_user_without_all_rights_is_not_used_until_they_are_granted() {
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
        set_user(&mut redis, user, &words(rule)).await;
        let error = Redis::check(&config(&server, user)).await.expect_err(user).to_string();
        assert!(missing.iter().all(|right| error.contains(right)), "{user}: {error}");
        let rights = error.matches([' ']).count();
        assert!(rights < 30 && !error.contains("pw"), "{user}: {error}");
        let app = start(&world, &server, user).await;
        let up = app.server.redis.as_ref().expect("a Redis").watch();
        wait_for_readyz(&app, "degraded", "down").await;
        let before = connections(&mut redis).await;
        let player = app.client.guest().await;
        eventually("the server has reconnected to Redis", async || {
            player.click(1).await.expect(200);
            player.get("/rankings").await.expect(200);
            (connections(&mut redis.clone()).await > before + 6).then_some(())
        })
        .await;
        assert!(
            !up.has_changed().expect("it is watched"),
            "{user}: Redis counted as available for a moment"
        );
        assert_eq!(app.metric("redis_breaker_opened_total"), 0.0, "{user}");
        set_user(&mut redis, user, &documented_rule()).await;
        wait_for_readyz(&app, "ok", "ok").await;
        app.stop().await;
    }
}

#[tokio::test]
async fn the_loss_of_a_right_is_detected_once() {
    let server = RedisServer::start(&[]);
    let mut redis = server.connect().await;
    set_user(&mut redis, "game", &documented_rule()).await;
    let app = start(&World::new().await, &server, "game").await;
    wait_for_readyz(&app, "ok", "ok").await;
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg("game")
        .arg("-evalsha")
        .exec_async(&mut redis)
        .await
        .expect("a rule");
    wait_for_readyz(&app, "degraded", "down").await;
    let before = connections(&mut redis).await;
    eventually("the server has reconnected to Redis", async || {
        (connections(&mut redis.clone()).await > before + 6).then_some(())
    })
    .await;
    assert_eq!(app.metric("redis_breaker_opened_total"), 1.0);
    app.stop().await;
}

#[tokio::test]
async fn the_documented_rule_has_exactly_the_required_rights() {
    let server = RedisServer::start(&[]);
    let mut redis = server.connect().await;
    let rule = documented_rule();
    set_user(&mut redis, "game", &rule).await;
    let world = World::new().await;
    let app = start(&world, &server, "game").await;
    let other = start(&world, &server, "game").await;
    wait_for_readyz(&app, "ok", "ok").await;
    wait_for_readyz(&other, "ok", "ok").await;
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
        redis::cmd("ACL").arg("LOG").query_async(&mut redis).await.expect("a log");
    // The client library sends its own name and ignores a refusal of that, so these entries are allowed.
    let denied: Vec<_> = denied.into_iter().map(|entry| format!("{entry:?}")).collect();
    let denied = denied.iter().find(|entry| !entry.contains("client|setinfo"));
    assert_eq!(denied, None);
    app.stop().await;
    // These rights are needed only for detecting and using clusters, and for databases other than 0.
    let optional = ["+hello", "+info", "+select", "+ping", "+cluster|slots"];
    for word in rule.iter().filter(|word| word.starts_with(['+', '~', '&'])) {
        if optional.contains(&&**word) {
            continue;
        }
        let others: Vec<_> = rule.iter().filter(|it| *it != word).cloned().collect();
        set_user(&mut redis, "less", &others).await;
        let error = Redis::check(&config(&server, "less")).await.expect_err(word).to_string();
        assert!(error.contains(word.as_str()), "{word}: {error}");
    }
}

#[tokio::test]
async fn a_cluster_is_detected_without_info_or_without_hello() {
    let cluster = RedisCluster::start().await;
    for without in ["+info", "+hello"] {
        let rule: Vec<_> = documented_rule().into_iter().filter(|word| word != without).collect();
        for node in cluster.nodes() {
            set_user(&mut node.connect().await, "game", &rule).await;
        }
        let app = start(&World::new().await, &cluster.nodes()[0], "game").await;
        wait_for_readyz(&app, "ok", "ok").await;
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

/// Another program has overwritten the server's keys.
#[tokio::test]
async fn keys_with_another_type_are_replaced() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let limits = [
        ("RATE_LIMIT_PER_SECOND", "50"),
        ("RATE_LIMIT_BURST", "100"),
        ("RATE_LIMIT_LEASES", "off"),
    ];
    let app = world.start_with(&limits).await;
    wait_for_readyz(&app, "ok", "ok").await;
    let mut redis = server.connect().await;
    let player = app.client.register("ada").await;
    player.state().await;
    rebuild(&app).await;
    let own_keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut redis).await.expect("keys");
    assert!(own_keys.len() >= 9, "{own_keys:?}");
    let mut epoch = None;
    for key in &own_keys {
        epoch = epoch.or(key.ends_with("{rankings}:epoch").then_some(key));
        redis::pipe()
            .del(key)
            .lpush(key, "not the server's")
            .exec_async(&mut redis)
            .await
            .expect("put");
    }
    assert!(epoch.is_some(), "{own_keys:?}");
    let up = app.server.redis.as_ref().expect("a Redis").watch();
    eventually("every used key is replaced", async || {
        player.click(1).await.expect(200);
        let new_player = app.client.guest().await;
        new_player.state().await;
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
        for key in &own_keys {
            let kind: String =
                redis::cmd("TYPE").arg(key).query_async(&mut redis.clone()).await.expect("a type");
            left.extend((kind == "list").then_some(key));
        }
        // Rows of players who are in the memory of the server are not read from Redis.
        left.retain(|key| !key.contains(":player:"));
        left.is_empty().then_some(())
    })
    .await;
    assert!(!up.has_changed().expect("it is watched"), "Redis counted as unavailable");
    assert_eq!(app.metric("redis_breaker_opened_total"), 0.0);
    app.stop().await;
}
