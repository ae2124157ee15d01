//! Instances announce changes of players through Redis. While announcements arrive, an instance serves a row from its
//! memory for half a minute. Changes that are not announced must still become visible within seconds.

use idlewatt::redis_client::Redis;
use redis::AsyncCommands;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::outage::assert_unavailable;
use crate::support::books::{count, eventually};
use crate::support::own_cluster::OwnCluster;
use crate::support::redis::RedisServer;
use crate::support::{Player, TestApp, UNLIMITED, World};

/// Waits until `app` relies on announcements: it serves a row that it read more than a second ago.
async fn wait_until_cached(app: &TestApp, player: &Player) {
    let player_at_app = player.at(app);
    eventually("rows are served from memory", async || {
        let loads = app.loads();
        for _ in 0..30 {
            player_at_app.state().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        (app.loads() == loads).then_some(())
    })
    .await;
}

/// Polls twenty times per second until the state has `version`, and returns the number of reads. If a row were served
/// from memory for half a minute, that would be six hundred.
async fn reads_until_visible(player: &Player, version: u64) -> usize {
    for reads in 0..400 {
        if count(&player.state().await["version"]) == version {
            return reads;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("version {version} is not visible");
}

#[tokio::test]
async fn instances_with_redis_see_changes_of_an_instance_without_redis() {
    let world = World::new().await.with_redis();
    let a = world.start().await;
    let player = a.client.guest().await;
    wait_until_cached(&a, &player).await;
    let b = world.start_with(&[("REDIS_URL", "")]).await;
    for version in 1..=3 {
        player.state().await;
        player.at(&b).click(1).await.expect(200);
        let reads = reads_until_visible(&player, version).await;
        assert!(reads < 100, "seen after {reads} reads");
    }
    // An instance without Redis tells the others, in the table `silences`, not to rely on announcements. It deletes its
    // entry when it stops.
    let silences = "select from silences where noted_at > clock_timestamp() - interval '3 s'";
    let database = world.connect().await;
    assert_eq!(database.query(silences, &[]).await.expect("asked").len(), 1);
    b.stop().await;
    assert!(database.query(silences, &[]).await.expect("asked").is_empty());
    wait_until_cached(&a, &player).await;
    a.stop().await;
}

/// Postgres waits for a standby that does not exist before it confirms a commit, as if the disk did not flush. The
/// server gives up the statement, and Postgres completes it later.
#[tokio::test]
async fn a_commit_completed_after_the_server_gave_it_up_becomes_visible() {
    let cluster = OwnCluster::start(&[]).await;
    let world = World::on(cluster.database(), cluster.database().into()).with_redis();
    let (a, b) = (world.start().await, world.start().await);
    let (database, connection) = cluster.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let set_standbys = async |standbys: &str| {
        let sql = format!("alter system set synchronous_standby_names = '{standbys}'");
        database.batch_execute(&sql).await.expect("set");
        database.batch_execute("select pg_reload_conf()").await.expect("reloaded");
    };
    let player = a.client.guest().await;
    player.click(1).await.expect(200);
    for app in [&a, &b] {
        wait_until_cached(app, &player).await;
    }
    set_standbys("nobody").await;
    let waiting = "select from pg_stat_activity where wait_event = 'SyncRep'";
    // Postgres applies the setting to the server's connections after a moment. Until then clicks succeed.
    let mut version = 1;
    loop {
        let reply = player.click(1).await;
        if reply.status != 200 {
            assert_unavailable(reply);
            break;
        }
        version += 1;
    }
    assert!(!database.query(waiting, &[]).await.expect("asked").is_empty(), "no commit is waiting");
    // Both instances read the row before the commit is completed.
    for app in [&a, &b] {
        let player_at_app = player.at(app);
        eventually("the row is read again", async || {
            (count(&player_at_app.state().await["version"]) == version).then_some(())
        })
        .await;
    }
    set_standbys("").await;
    eventually("the commit is completed", async || {
        database.query(waiting, &[]).await.expect("asked").is_empty().then_some(())
    })
    .await;
    for app in [&a, &b] {
        let reads = reads_until_visible(&player.at(app), version + 1).await;
        assert!(reads < 100, "seen after {reads} reads");
    }
    // After a newer write, rows are served from memory for half a minute again.
    player.click(1).await.expect(200);
    for app in [&a, &b] {
        wait_until_cached(app, &player).await;
    }
    a.stop().await;
    b.stop().await;
}

/// A frozen Redis executes the requests that it was sent before only after it continues.
#[tokio::test]
async fn a_row_put_into_a_frozen_redis_is_not_served_as_fresh() {
    let server = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&server);
    let (a, b) = (world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await);
    let player = a.client.guest().await;
    let database = world.connect().await;
    wait_until_cached(&a, &player).await;
    server.freeze();
    // The instance reads this row from Postgres and sends it to the frozen Redis.
    let uncached = a.client.guest().await;
    uncached.state().await;
    world.advance(10.0);
    let change =
        "update players set revision = revision + 1, version = 7 where player_id = $1::text::uuid";
    database.execute(change, &[&uncached.id]).await.expect("changed");
    server.thaw();
    let mut redis = server.connect().await;
    let pattern = format!("{}*player:{}", world.redis.as_ref().expect("a Redis").1, uncached.id);
    eventually("the row is in Redis, or Redis is used again", async || {
        let mut redis = redis.clone();
        let keys: Vec<String> = redis.keys(&pattern).await.expect("listed");
        (!keys.is_empty() || b.server.redis.as_ref().is_some_and(Redis::is_up)).then_some(())
    })
    .await;
    let keys: Vec<String> = redis.keys(&pattern).await.expect("listed");
    assert_eq!(keys.len(), 1, "the row was not put into Redis, so the test checks nothing");
    eventually("the other instance is connected again", async || {
        b.server.redis.as_ref().is_some_and(Redis::is_up).then_some(())
    })
    .await;
    let state = uncached.at(&b).state().await;
    assert_eq!(state["version"], json!(7), "the outdated row in Redis was served");
    a.stop().await;
    b.stop().await;
}
