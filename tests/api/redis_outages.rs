//! An unavailable Redis does not affect requests, and is used again by itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::redis::RedisServer;
use crate::support::{TestApp, UNLIMITED, World};

const DEADLINE: Duration = Duration::from_secs(10);

/// Waits until `/readyz` says that of Redis.
pub async fn wait_for(app: &TestApp, status: &str, redis: &str) {
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

/// Plays as usual, and checks that Redis was soon not asked any more.
async fn play_on(app: &TestApp) {
    let failures = app.metric("redis_failures_total");
    let player = app.client.guest().await;
    for version in 1..=60 {
        player.click(1).await.expect(200);
        assert_eq!(player.state().await["version"], version);
        // A row that is not fresh any more is read from Redis first.
        app.client.guest().await.state().await;
    }
    let failures = app.metric("redis_failures_total") - failures;
    assert!(failures < 30.0, "asked {failures} times in vain");
}

#[tokio::test]
async fn a_redis_that_starts_later_is_used() {
    let mut server = RedisServer::planned();
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for(&app, "degraded", "down").await;
    play_on(&app).await;
    server.run();
    wait_for(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_killed_redis_is_reported_and_used_again_later() {
    let mut server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for(&app, "ok", "ok").await;
    server.kill();
    play_on(&app).await;
    wait_for(&app, "degraded", "down").await;
    server.run();
    wait_for(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_redis_that_never_answers_is_given_up() {
    let server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for(&app, "ok", "ok").await;
    server.freeze();
    play_on(&app).await;
    wait_for(&app, "degraded", "down").await;
    server.thaw();
    wait_for(&app, "ok", "ok").await;
    app.stop().await;
}

#[tokio::test]
async fn a_read_only_redis_is_not_used() {
    let server = RedisServer::start(&[]);
    let app = World::new().await.with_redis_of(&server).start_with(UNLIMITED).await;
    wait_for(&app, "ok", "ok").await;
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
        play_on(&app).await;
        wait_for(&app, "degraded", "down").await;
        undo.exec_async(&mut connection).await.expect("undone");
        wait_for(&app, "ok", "ok").await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_password_counts_as_an_unavailable_redis() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let world = World::new().await;
    let wrong = format!("redis://:wrong@127.0.0.1:{}", server.port());
    let app = world.start_with(&[("REDIS_URL", &wrong)]).await;
    wait_for(&app, "degraded", "down").await;
    app.client.guest().await.state().await;
    let right = format!("redis://:right@127.0.0.1:{}/3", server.port());
    let other = world.start_with(&[("REDIS_URL", &right)]).await;
    wait_for(&other, "ok", "ok").await;
    other.stop().await;
    app.stop().await;
}

/// Some hosts give out addresses with a username for servers that have only a password.
#[tokio::test]
async fn a_user_name_is_ignored_by_a_redis_without_users() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let world = World::new().await;
    for name in ["h", "default", ""] {
        let url = format!("redis://{name}:right@127.0.0.1:{}/3", server.port());
        let app = world.start_with(&[("REDIS_URL", &url)]).await;
        wait_for(&app, "ok", "ok").await;
        let player = app.client.guest().await;
        player.click(1).await.expect(200);
        app.stop().await;
    }
    let wrong = format!("redis://h:wrong@127.0.0.1:{}", server.port());
    let app = world.start_with(&[("REDIS_URL", &wrong)]).await;
    wait_for(&app, "degraded", "down").await;
    app.stop().await;
}
