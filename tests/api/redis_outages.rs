//! An unavailable Redis does not affect requests, and the server uses it again by itself when it is available.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::redis::RedisServer;
use crate::support::{TestApp, UNLIMITED, World};

const DEADLINE: Duration = Duration::from_secs(10);

/// Waits until `/readyz` reports this overall status and this status of Redis.
pub async fn wait_for_readyz(app: &TestApp, status: &str, redis: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let reply = app.client.send(app.client.request("GET", "/readyz")).await;
        assert_eq!(reply.status, 200);
        let body: &Value = &reply.json;
        if body["status"] == status && body["checks"]["redis"]["status"] == redis {
            return;
        }
        assert!(Instant::now() < deadline, "still {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Plays without Redis, and checks that the server soon stops sending requests to it.
async fn play_without_redis(app: &TestApp) {
    let failures = app.metric("redis_failures_total");
    let player = app.client.guest().await;
    for version in 1..=60 {
        player.click(1).await.expect(200);
        assert_eq!(player.state().await["version"], version);
        // A new player's row would be read from Redis first.
        app.client.guest().await.state().await;
    }
    let failures = app.metric("redis_failures_total") - failures;
    assert!(failures < 30.0, "{failures} requests to Redis failed");
}

#[tokio::test]
async fn a_redis_that_starts_after_the_server_is_used() {
    let mut server = RedisServer::planned();
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for_readyz(&app, "degraded", "down").await;
    play_without_redis(&app).await;
    server.run();
    wait_for_readyz(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_and_restarted_is_used_again() {
    let mut server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for_readyz(&app, "ok", "ok").await;
    server.kill();
    play_without_redis(&app).await;
    wait_for_readyz(&app, "degraded", "down").await;
    server.run();
    wait_for_readyz(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_redis_that_never_answers_counts_as_unavailable() {
    let server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for_readyz(&app, "ok", "ok").await;
    server.freeze();
    play_without_redis(&app).await;
    wait_for_readyz(&app, "degraded", "down").await;
    server.thaw();
    wait_for_readyz(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_redis_that_refuses_writes_is_not_used() {
    let server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for_readyz(&app, "ok", "ok").await;
    let mut connection = server.connect().await;
    let set = |name: &'static str, value: &'static str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(name).arg(value);
        command
    };
    for (command, undo) in [
        (set("maxmemory", "1"), set("maxmemory", "0")),
        (redis::cmd("REPLICAOF").arg("127.0.0.1").arg("1").clone(), {
            redis::cmd("REPLICAOF").arg("NO").arg("ONE").clone()
        }),
    ] {
        command.exec_async(&mut connection).await.expect("set");
        play_without_redis(&app).await;
        wait_for_readyz(&app, "degraded", "down").await;
        undo.exec_async(&mut connection).await.expect("undone");
        wait_for_readyz(&app, "ok", "ok").await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_redis_with_a_wrong_password_counts_as_unavailable() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let world = World::new().await;
    let wrong = format!("redis://:wrong@127.0.0.1:{}", server.port());
    let app = world.start_with(&[("REDIS_URL", &wrong)]).await;
    wait_for_readyz(&app, "degraded", "down").await;
    app.client.guest().await.state().await;
    let right = format!("redis://:right@127.0.0.1:{}/3", server.port());
    let other = world.start_with(&[("REDIS_URL", &right)]).await;
    wait_for_readyz(&other, "ok", "ok").await;
    other.stop().await;
    app.stop().await;
}

/// Some hosting providers give addresses with a username for servers that have only a password.
#[tokio::test]
async fn a_username_in_the_address_is_ignored_if_redis_has_only_a_password() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let world = World::new().await;
    for name in ["h", "default", ""] {
        let url = format!("redis://{name}:right@127.0.0.1:{}/3", server.port());
        let app = world.start_with(&[("REDIS_URL", &url)]).await;
        wait_for_readyz(&app, "ok", "ok").await;
        let player = app.client.guest().await;
        player.click(1).await.expect(200);
        app.stop().await;
    }
    let wrong = format!("redis://h:wrong@127.0.0.1:{}", server.port());
    let app = world.start_with(&[("REDIS_URL", &wrong)]).await;
    wait_for_readyz(&app, "degraded", "down").await;
    app.stop().await;
}
