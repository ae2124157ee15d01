//! Boards that instances share in Redis, also while Redis fails.

use std::time::Duration;

use redis::AsyncCommands;
use serde_json::{Value, json};

use super::{add_players, ids, page, publish_until, rebuild};
use crate::support::books::eventually;
use crate::support::redis::{RedisCluster, RedisServer, connect, shared_redis};
use crate::support::{TestApp, World};

/// The keys of a world's boards.
async fn board_keys(world: &World) -> Vec<String> {
    let (url, prefix) = world.redis.clone().expect("a Redis");
    let keys: Vec<String> = connect(&url).await.keys(format!("{prefix}*")).await.expect("keys");
    keys.into_iter().filter(|key| key.contains("rankings")).collect()
}

async fn three_players(app: &TestApp) -> Vec<String> {
    let rows = [(30.0, 0, 0.0), (20.0, 0, 0.0), (10.0, 0, 0.0)];
    let players = add_players(&app.world, &rows).await;
    rebuild(app).await;
    let players: Vec<_> = players.iter().map(ToString::to_string).collect();
    publish_until(app, "", "all", |list| ids(list) == players).await;
    players
}

#[tokio::test]
async fn instances_share_the_boards() {
    let world = World::new().await.with_redis();
    let (one, other) = (world.start().await, world.start().await);
    let ada = one.client.register("ada").await;
    ada.click(7).await.expect(200);
    one.server.rankings.publish().await.expect("published");
    // No call of the player has reached the other instance.
    let list = eventually("the clicks", async || {
        let list = page(&other, "").await.expect(200).json;
        (list["entries"][0]["score"] == 7.0).then_some(list)
    });
    let (there, here) = (list.await, page(&one, "").await.expect(200).json);
    assert_eq!(there["entries"], here["entries"]);
    let own = ada.at(&other).get("/rankings/me").await.expect(200).json;
    assert_eq!((&own["rank"], &own["score"]), (&json!(1), &json!(7.0)));
    // All keys have one hash tag, so that a cluster stores them on one node.
    let keys = board_keys(&world).await;
    assert!(keys.iter().all(|key| key.contains("{rankings}:")), "{keys:?}");
    // No boards of an unfinished rebuild are left.
    eventually("the rebuilds have ended", async || {
        let keys = board_keys(&world).await;
        (!keys.is_empty() && keys.iter().all(|key| !key.contains("build"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_cluster_keeps_the_boards_on_one_node() {
    let cluster = RedisCluster::start().await;
    let world = World::new().await.with_redis_at(cluster.url());
    let app = world.start().await;
    let players = three_players(&app).await;
    let ada = app.client.register("ada").await;
    ada.click(25).await.expect(200);
    let expected = [&players[..1], std::slice::from_ref(&ada.id), &players[1..]].concat();
    publish_until(&app, "", "the clicks", |list| ids(list) == expected).await;
    let own = ada.get("/rankings/me?around=1").await.expect(200).json;
    assert_eq!((&own["rank"], ids(&own)), (&json!(2), expected[..3].to_vec()));
    rebuild(&app).await;
    publish_until(&app, "", "the rebuild", |list| ids(list) == expected).await;
    let mut nodes = 0;
    for node in cluster.nodes() {
        let keys: Vec<String> = node.connect().await.keys("*{rankings}*").await.expect("keys");
        nodes += usize::from(!keys.is_empty());
    }
    assert_eq!(nodes, 1);
}

#[tokio::test]
async fn the_boards_are_rebuilt_after_redis_was_wiped() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let app = world.start().await;
    let players = three_players(&app).await;
    let mut connection = server.connect().await;
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("wiped");
    // Until the boards are rebuilt, the last page is served, and never an incomplete one.
    let list = eventually("the boards are complete", async || {
        let reply = page(&app, "").await.expect(200);
        assert_eq!(ids(&reply.json), players);
        let complete = board_keys(&world).await.iter().any(|key| key.ends_with(":lifetime_energy"));
        (complete && reply.json["stale"] == false).then_some(reply.json)
    });
    assert_eq!(list.await["total_players"], 3);
}

#[tokio::test]
async fn without_redis_the_boards_are_served_from_memory() {
    let mut server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let app = world.start().await;
    let players = three_players(&app).await;
    let ada = app.client.register("ada").await;
    server.kill();
    // The cached page is served at once. The click becomes visible when the process has built its own boards.
    ada.click(25).await.expect(200);
    let with_ada = [&players[..1], std::slice::from_ref(&ada.id), &players[1..]].concat();
    eventually("the process has its own boards", async || {
        app.server.rankings.publish().await.ok();
        let reply = page(&app, "").await.expect(200);
        assert!(reply.json["stale"] == true || ids(&reply.json).len() >= 3);
        (ids(&reply.json) == with_ada && reply.json["stale"] == false).then_some(())
    })
    .await;
    let own = ada.get("/rankings/me?around=1").await.expect(200).json;
    assert_eq!((&own["rank"], ids(&own)), (&json!(2), with_ada[..3].to_vec()));
    server.run();
    eventually("the boards in Redis are rebuilt", async || {
        let keys = board_keys(&world).await;
        keys.iter().any(|key| key.ends_with("}:lifetime_energy")).then_some(())
    })
    .await;
    ada.click(10).await.expect(200);
    let up = |list: &Value| ids(list)[0] == ada.id;
    publish_until(&app, "", "play after Redis is back", up).await;
}

#[tokio::test]
async fn a_hanging_redis_does_not_delay_pages() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let app = world.start().await;
    let players = three_players(&app).await;
    server.freeze();
    for _ in 0..30 {
        let asked = std::time::Instant::now();
        let reply = page(&app, "").await.expect(200);
        assert_eq!(ids(&reply.json), players);
        // A request to the hanging Redis would take much longer.
        assert!(asked.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.thaw();
}

#[tokio::test]
async fn changes_during_a_redis_outage_reach_its_boards_afterwards() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let app = world.start().await;
    let players = three_players(&app).await;
    let redis = app.server.redis.as_ref().expect("a Redis");
    // A frozen Redis loses no keys, so only the missed change shows that its boards are outdated.
    server.freeze();
    eventually("the server treats Redis as unavailable", async || (!redis.is_up()).then_some(()))
        .await;
    let ban = format!("/players/{}/ban", players[0]);
    app.client.admin("POST", &ban, Some(json!({}))).await.expect(204);
    publish_until(&app, "", "the ban", |list| list["stale"] == false && ids(list) == players[1..])
        .await;
    world.advance(2.0);
    server.thaw();
    eventually("Redis is used again", async || redis.is_up().then_some(())).await;
    eventually("the ban in Redis", async || {
        app.server.rankings.publish().await.ok();
        let key = app.redis_key("{rankings}:lifetime_energy");
        let ranked: u64 = server.connect().await.zcard(key).await.expect("a count");
        (ranked == 2).then_some(())
    })
    .await;
    publish_until(&app, "", "the ban", |list| ids(list) == players[1..]).await;
}

#[tokio::test]
async fn an_unfinished_rebuild_is_replaced_by_the_next() {
    let world = World::new().await.with_redis();
    let app = world.start().await;
    let players = three_players(&app).await;
    let key = |part: &str| app.redis_key(&format!("{{rankings}}:build:{part}"));
    let mut connection = connect(shared_redis()).await;
    rebuild(&app).await;
    // Another instance began a rebuild and crashed.
    let () = connection.hset(key("meta"), "token", "of a crashed instance").await.expect("set");
    let () = connection.zadd(key("lifetime_energy"), "unknown", 1).await.expect("added");
    assert_eq!(app.server.rankings.rebuild().await.expect("not needed"), None);
    let () = connection.del(key("meta")).await.expect("lapsed");
    rebuild(&app).await;
    let list = page(&app, "limit=100").await.expect(200).json;
    assert_eq!(ids(&list), players);
}
