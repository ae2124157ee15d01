//! Several instances: no event is lost or comes twice, wherever it is appended and wherever a client connects.

use serde_json::json;

use super::Socket;
use crate::streams::{append, stream_of};
use crate::support::redis::RedisServer;
use crate::support::{TestApp, UNLIMITED, World};

/// A client that reconnects at any instance, with its position.
struct Wanderer {
    socket: Option<Socket>,
    position: i64,
}

impl Wanderer {
    async fn connect(&mut self, app: &TestApp, player: &crate::support::Player, stream: &str) {
        let streams = json!([{"stream": stream, "after": self.position}]);
        let mut socket = Socket::with(app, &player.at(app), json!({"streams": streams})).await;
        let subscribed = socket.expect("subscribed").await;
        assert_eq!(subscribed["resync"], false, "{subscribed}");
        self.socket = Some(socket);
    }

    async fn follow_to(&mut self, stream: &str, last: i64) {
        let socket = self.socket.as_mut().expect("connected");
        while self.position < last {
            let sequence = socket.sequence(stream).await;
            assert_eq!(sequence, self.position + 1, "a gap, or an event that came twice");
            self.position = sequence;
        }
    }
}

#[tokio::test]
async fn a_client_continues_at_any_instance() {
    for world in [World::new().await.with_redis(), World::new().await] {
        let apps = [world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await];
        let ada = apps[0].client.guest().await;
        let stream = stream_of(&ada);
        let mut wanderer = Wanderer { socket: None, position: 0 };
        for round in 0..6 {
            let (here, there) = (&apps[round % 2], &apps[(round + 1) % 2]);
            append(there, &stream, 3).await.expect("appended");
            wanderer.connect(here, &ada, &stream).await;
            append(here, &stream, 2).await.expect("appended");
            let last = append(there, &stream, 2).await.expect("appended");
            wanderer.follow_to(&stream, last).await;
            // Not connected.
            wanderer.socket = None;
        }
    }
}

#[tokio::test]
async fn no_event_is_lost_when_redis_goes_and_comes() {
    let mut redis = RedisServer::start(&[]);
    let world = World::new().await.with_redis_of(&redis);
    let apps = [world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await];
    let ada = apps[0].client.guest().await;
    let stream = stream_of(&ada);
    let mut followers =
        [Wanderer { socket: None, position: 0 }, Wanderer { socket: None, position: 0 }];
    for (follower, app) in followers.iter_mut().zip(&apps) {
        follower.connect(app, &ada, &stream).await;
    }
    for step in 0..4 {
        match step {
            1 => redis.kill(),
            2 => redis.run(),
            3 => redis.freeze(),
            _ => {}
        }
        for app in &apps {
            let last = append(app, &stream, 2).await.expect("appended");
            for follower in &mut followers {
                follower.follow_to(&stream, last).await;
            }
        }
    }
    redis.thaw();
}

#[tokio::test]
async fn an_event_whose_instance_dies_after_the_commit_reaches_all() {
    let world = World::new().await.with_redis();
    let (writer, reader) = (world.start_with(UNLIMITED).await, world.start_with(UNLIMITED).await);
    let ada = writer.client.guest().await;
    let stream = stream_of(&ada);
    let mut follower = Wanderer { socket: None, position: 0 };
    follower.connect(&reader, &ada, &stream).await;
    for number in 1..=3 {
        // Committed, and then nothing is published.
        let now = crate::streams::now(&writer);
        let mut transaction = writer.server.store.begin().await.expect("begun");
        let mut locked = transaction.lock_streams(vec![stream.clone()]).await.expect("locked");
        locked.add(&stream, "test.event", now, None, "{}".to_owned()).expect("added");
        transaction.append_events(locked).await.expect("appended");
        transaction.commit().await.expect("committed");
        follower.follow_to(&stream, number).await;
    }
}
