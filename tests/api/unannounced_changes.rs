//! Changes that are not announced: they become visible within seconds nevertheless, although rows are fresh for half a
//! minute while announcements arrive.

use idlewatt::redis_client::Redis;
use redis::AsyncCommands;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::outage::assert_unavailable;
use crate::support::books::{count, eventually};
use crate::support::own_cluster::OwnCluster;
use crate::support::redis::RedisServer;
use crate::support::{Player, TestApp, UNLIMITED, World};

/// Waits until `app` serves a row that it read more than a second ago.
async fn until_trusted(app: &TestApp, player: &Player) {
    let there = player.at(app);
    eventually("announcements are trusted", async || {
        let loads = app.loads();
        for _ in 0..30 {
            there.state().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        (app.loads() == loads).then_some(())
    })
    .await;
}

/// How many reads a player who polls twenty times per second makes until it sees `version`. While rows are fresh for
/// half a minute that would be six hundred.
async fn reads_until(player: &Player, version: u64) -> usize {
    for reads in 0..400 {
        if count(&player.state().await["version"]) == version {
            return reads;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("version {version} is not seen");
}

#[tokio::test]
async fn what_an_instance_without_redis_changes_is_seen_by_those_that_have_one() {
    let world = World::new().await.with_redis();
    let a = world.start().await;
    let player = a.client.guest().await;
    until_trusted(&a, &player).await;
    let b = world.start_with(&[("REDIS_URL", "")]).await;
    for version in 1..=3 {
        player.state().await;
        player.at(&b).click(1).await.expect(200);
        let reads = reads_until(&player, version).await;
        assert!(reads < 100, "seen after {reads} reads");
    }
    // It announces its end, so the others need not wait.
    let silences = "select from silences where noted_at > clock_timestamp() - interval '3 s'";
    let database = world.connect().await;
    assert_eq!(database.query(silences, &[]).await.expect("asked").len(), 1);
    b.stop().await;
    assert!(database.query(silences, &[]).await.expect("asked").is_empty());
    until_trusted(&a, &player).await;
    a.stop().await;
}

/// Postgres confirms a commit only after a standby has it, and there is none: as when a disk does not flush. The server
/// gives up on the statement, and it is carried out later.
#[tokio::test]
async fn a_commit_that_lands_after_it_was_given_up_is_seen() {
    let cluster = OwnCluster::start(&[]).await;
    let world = World::on(cluster.database(), cluster.database().into()).with_redis();
    let (a, b) = (world.start().await, world.start().await);
    let (database, connection) = cluster.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let flushing = async |standbys: &str| {
        let sql = format!("alter system set synchronous_standby_names = '{standbys}'");
        database.batch_execute(&sql).await.expect("set");
        database.batch_execute("select pg_reload_conf()").await.expect("reloaded");
    };
    let player = a.client.guest().await;
    player.click(1).await.expect(200);
    for app in [&a, &b] {
        until_trusted(app, &player).await;
    }
    flushing("nobody").await;
    let waits = "select from pg_stat_activity where wait_event = 'SyncRep'";
    // It takes a moment until the lane's connection has the setting: an answered click is just another click.
    let mut version = 1;
    loop {
        let reply = player.click(1).await;
        if reply.status != 200 {
            assert_unavailable(reply);
            break;
        }
        version += 1;
    }
    assert!(!database.query(waits, &[]).await.expect("asked").is_empty(), "it is not carried out");
    // Both read the row as it is before the commit is carried out.
    for app in [&a, &b] {
        let there = player.at(app);
        eventually("the row is read again", async || {
            (count(&there.state().await["version"]) == version).then_some(())
        })
        .await;
    }
    flushing("").await;
    eventually("it is carried out", async || {
        database.query(waits, &[]).await.expect("asked").is_empty().then_some(())
    })
    .await;
    for app in [&a, &b] {
        let reads = reads_until(&player.at(app), version + 1).await;
        assert!(reads < 100, "seen after {reads} reads");
    }
    // After a newer row was written, rows are fresh for half a minute again.
    player.click(1).await.expect(200);
    for app in [&a, &b] {
        until_trusted(app, &player).await;
    }
    a.stop().await;
    b.stop().await;
}

/// A frozen Redis later carries out what it was sent before, at its own time.
#[tokio::test]
async fn what_was_put_into_a_frozen_redis_is_as_old_as_it_is() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let (a, b) = (world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await);
    let player = a.client.guest().await;
    let database = world.connect().await;
    until_trusted(&a, &player).await;
    server.freeze();
    // Read from Postgres, and sent to the frozen Redis.
    let cold = a.client.guest().await;
    cold.state().await;
    world.advance(10.0);
    let change =
        "update players set revision = revision + 1, version = 7 where player_id = $1::text::uuid";
    database.execute(change, &[&cold.id]).await.expect("changed");
    server.thaw();
    let mut redis = server.connect().await;
    let pattern = format!("{}*player:{}", world.redis.as_ref().expect("a Redis").1, cold.id);
    eventually("it is in Redis, or was never put", async || {
        let mut redis = redis.clone();
        let keys: Vec<String> = redis.keys(&pattern).await.expect("listed");
        (!keys.is_empty() || b.server.redis.as_ref().is_some_and(Redis::is_up)).then_some(())
    })
    .await;
    let keys: Vec<String> = redis.keys(&pattern).await.expect("listed");
    assert_eq!(keys.len(), 1, "the put came to nothing: the test shows nothing");
    eventually("the other instance is connected again", async || {
        b.server.redis.as_ref().is_some_and(Redis::is_up).then_some(())
    })
    .await;
    let state = cold.at(&b).state().await;
    assert_eq!(state["version"], json!(7), "the old row passed for a new one");
    a.stop().await;
    b.stop().await;
}
