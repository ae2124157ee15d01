//! No event is lost or comes twice, whatever happens to Redis, to an instance, or to the connection to the database.

use std::time::Duration;

use idlewatt::store::Error;
use tokio::time::sleep;

use super::{Follower, append, now, stream_of};
use crate::redis_outages::wait_for_readyz;
use crate::support::proxy::Proxy;
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::{Player, TestApp, UNLIMITED, World};

/// Two instances, a player of the first one, and a client of that player at the second one.
struct Scene {
    writer: TestApp,
    reader: TestApp,
    ada: Player,
    stream: String,
    follower: Follower,
}

impl Scene {
    async fn on(world: &World) -> Self {
        let (writer, reader) =
            (world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await);
        let ada = writer.client.guest().await;
        let stream = stream_of(&ada);
        let follower = Follower::new(&ada, &stream);
        Self { writer, reader, ada, stream, follower }
    }

    /// Appends an event at one instance while the client waits for it at the other one. The client must be woken: its poll
    /// would find the event by itself only when it ends.
    async fn tell(&mut self) {
        let next = self.follower.position + 1;
        let (writer, stream) = (&self.writer, &self.stream);
        let written = self
            .follower
            .woken_by(&self.reader, async { append(writer, stream, 1).await.expect("appended") });
        assert_eq!(written.await, next);
    }

    async fn tell_some(&mut self, count: usize) {
        for _ in 0..count {
            self.tell().await;
        }
    }
}

#[tokio::test]
async fn events_reach_other_instances_with_redis_and_without() {
    for world in [World::new().await, World::new().await.with_redis()] {
        let mut scene = Scene::on(&world).await;
        scene.tell_some(20).await;
        // A client that polls at both instances in turn continues where it was.
        for _ in 0..5 {
            let last = append(&scene.reader, &scene.stream, 2).await.expect("appended");
            scene.follower.follow_to(&scene.writer, last).await;
            scene.tell().await;
        }
        assert_eq!(scene.ada.id, scene.stream["player:".len()..]);
    }
}

/// As during a roll-out from a release that does not know streams.
#[tokio::test]
async fn events_reach_other_instances_without_messages_about_them() {
    let world = World::new().await.with_redis();
    let (writer, reader) =
        (world.start_with(&[("LIVE", "off")]).await, world.start_with(&[("LIVE", "off")]).await);
    let ada = writer.client.guest().await;
    let (stream, follower) = (stream_of(&ada), Follower::new(&ada, &stream_of(&ada)));
    let mut scene = Scene { writer, reader, ada, stream, follower };
    scene.tell_some(5).await;
}

#[tokio::test]
async fn events_reach_other_instances_through_a_redis_cluster() {
    let cluster = RedisCluster::start().await;
    let world = World::new().await.with_redis_at(cluster.url());
    let mut scene = Scene::on(&world).await;
    scene.tell_some(10).await;
}

#[tokio::test]
async fn no_event_is_lost_when_redis_is_killed_frozen_or_full() {
    let mut redis = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&redis);
    let mut scene = Scene::on(&world).await;
    wait_for_readyz(&scene.reader, "ok", "ok").await;
    scene.tell_some(3).await;
    redis.kill();
    scene.tell_some(5).await;
    redis.run();
    scene.tell_some(5).await;
    wait_for_readyz(&scene.reader, "ok", "ok").await;
    scene.tell_some(3).await;
    redis.freeze();
    scene.tell_some(5).await;
    redis.thaw();
    scene.tell_some(5).await;
    // Full: it refuses to store anything, and still delivers messages or refuses them too.
    let mut connection = redis.connect().await;
    let full = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").to_owned();
    let _: () = full.query_async(&mut connection).await.expect("set");
    scene.tell_some(5).await;
}

#[tokio::test]
async fn a_redis_that_loses_what_it_had_loses_no_event() {
    // All of it, in the middle: positions and numbers are in Postgres alone.
    let redis = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&redis);
    let mut scene = Scene::on(&world).await;
    wait_for_readyz(&scene.reader, "ok", "ok").await;
    let mut connection = redis.connect().await;
    for _ in 0..3 {
        scene.tell_some(3).await;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.expect("emptied");
    }
    scene.tell_some(3).await;
}

#[tokio::test]
async fn a_subscriber_that_is_silently_dead_misses_no_event() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::to_redis(&redis).await;
    let world = World::new().await.with_redis_at(proxy.redis_url());
    let mut scene = Scene::on(&world).await;
    wait_for_readyz(&scene.reader, "ok", "ok").await;
    scene.tell_some(3).await;
    for _ in 0..3 {
        proxy.silence();
        scene.tell_some(3).await;
    }
}

/// The publisher commits and ends before it tells anybody: not over Redis, not over a heartbeat.
#[tokio::test]
async fn an_event_of_a_publisher_that_dies_right_after_its_commit_is_found() {
    for world in [World::new().await, World::new().await.with_redis()] {
        let mut scene = Scene::on(&world).await;
        scene.tell_some(2).await;
        for _ in 0..3 {
            let (writer, stream) = (&scene.writer, &scene.stream);
            let writing = async {
                let store = &writer.server.store;
                let mut transaction = store.begin().await?;
                let mut locked = transaction.lock_streams(vec![stream.clone()]).await?;
                locked.add(stream, "test.event", now(writer), None, "{}".to_owned())?;
                transaction.append_events(locked).await?;
                transaction.commit().await
            };
            let written: Result<(), Error> = scene.follower.woken_by(&scene.reader, writing).await;
            written.expect("committed");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let world = World::new().await;
    let mut scene = Scene::on(&world).await;
    let bob = scene.writer.client.guest().await;
    scene.tell().await;
    let store = &scene.writer.server.store;
    let mut late = store.begin().await.expect("begun");
    let mut locked = late.lock_streams(vec![scene.stream.clone()]).await.expect("locked");
    locked
        .add(&scene.stream, "test.event", now(&scene.writer), None, "{}".to_owned())
        .expect("added");
    late.append_events(locked).await.expect("appended");
    // Signals of later transactions are read meanwhile.
    let mut other = Follower::new(&bob, &stream_of(&bob));
    for count in 1..=5 {
        append(&scene.writer, &stream_of(&bob), 1).await.expect("appended");
        other.follow_to(&scene.reader, count).await;
    }
    let committed = scene.follower.woken_by(&scene.reader, late.commit()).await;
    committed.expect("committed");
}

#[tokio::test]
async fn events_go_on_from_the_positions_when_the_database_comes_back() {
    let world = World::new().await;
    let mut scene = Scene::on(&world).await;
    scene.tell_some(2).await;
    let mut last = 2;
    for _ in 0..2 {
        world.cut_database().await;
        // A poll that waits is not disturbed by it, or is told to come again.
        scene.follower.poll(&scene.reader, 0).await;
        world.mend_database().await;
        last = crate::support::books::eventually("appended", async || {
            append(&scene.writer, &scene.stream, 2).await.ok()
        })
        .await
        .max(last);
        scene.follower.follow_to(&scene.reader, last).await;
    }
}

#[tokio::test]
async fn signals_that_a_restart_of_the_database_lost_are_made_up_for() {
    let world = World::new().await;
    let mut scene = Scene::on(&world).await;
    scene.tell_some(2).await;
    let database = world.connect().await;
    // An unlogged table is empty after a crash, and connections are lost.
    let losing = async {
        let sql = "begin;
            update streams set head = head + 1 where stream like 'player:%';
            insert into stream_events (slot, stream, sequence, at, type, data)
                select 0, stream, head, now(), 'test.event', '{}' from streams where stream like 'player:%';
            commit;
            truncate signals";
        database.batch_execute(sql).await.expect("written");
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        database.batch_execute(sql).await.expect("closed");
    };
    scene.follower.woken_by(&scene.reader, losing).await;
}

#[tokio::test]
async fn a_follower_loses_nothing_under_random_faults() {
    let mut redis = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&redis);
    let mut scene = Scene::on(&world).await;
    let total = 300;
    let (writer, stream) = (&scene.writer, scene.stream.clone());
    let writing = async {
        for _ in 0..total {
            append(writer, &stream, 1).await.expect("appended");
        }
    };
    let faults = async {
        for round in 0..6 {
            sleep(Duration::from_millis(150)).await;
            match round % 3 {
                0 => redis.kill(),
                1 => redis.run(),
                _ => {
                    redis.freeze();
                    sleep(Duration::from_millis(100)).await;
                    redis.thaw();
                }
            }
        }
    };
    tokio::join!(writing, faults, scene.follower.follow_to(&scene.reader, total));
}
