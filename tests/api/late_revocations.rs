//! Every instance reads each revocation, even if it was written or committed late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idlewatt::accounts::Identity;
use idlewatt::app::{Server, Settings};
use idlewatt::clock::{Clock, DatabaseClock};
use idlewatt::config::{Config, Secret, Source};
use idlewatt::domain::Timestamp;
use idlewatt::operators::Operators;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::books::eventually;
use crate::support::{JWT_SECRET, World};

/// The clock of a process that was paused after it read the time, so that it sends its statements a minute later.
#[derive(Debug)]
struct LateClock(DatabaseClock);

const LATE_SECONDS: f64 = 60.0;

impl Clock for LateClock {
    fn now(&self) -> Timestamp {
        self.0.now().plus_seconds(-LATE_SECONDS)
    }

    fn at(&self, instant: Instant) -> Timestamp {
        self.0.at(instant).plus_seconds(-LATE_SECONDS)
    }

    fn steady(&self) -> Duration {
        self.0.steady()
    }

    fn observe(&self, _: Timestamp, _: Instant, _: Instant) {}

    fn steady_now(&self) -> Option<Timestamp> {
        Some(self.now())
    }
}

/// A server with a [`LateClock`]. It does not listen for requests.
async fn late_server(world: &World) -> (Server, Arc<dyn Clock>) {
    let source = Source::from([("JWT_SECRET".to_owned(), JWT_SECRET.to_owned())]);
    let clock: Arc<dyn Clock> = Arc::new(LateClock(DatabaseClock::new()));
    let server = Server::build(Settings {
        config: Config::load(&source).expect("a configuration"),
        secret: Secret::new(JWT_SECRET),
        endpoint: world.endpoint.clone(),
        clock: Arc::clone(&clock),
        alone: false,
    });
    let server = server.expect("built");
    server.prepare().await.expect("prepared");
    (server, clock)
}

/// Microseconds since the Unix epoch.
async fn database_time(database: &Client) -> i64 {
    let sql = "select (extract(epoch from clock_timestamp()) * 1e6)::bigint";
    database.query_one(sql, &[]).await.expect("the time").get(0)
}

/// The timestamp and the reason of the last revocation.
async fn last_timestamp(database: &Client) -> (i64, String) {
    let sql = "select (extract(epoch from revoked_at) * 1e6)::bigint, reason
        from revocations order by revocation_id desc limit 1";
    let row = database.query_one(sql, &[]).await.expect("a revocation");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_revocation_has_the_time_at_which_it_is_written() {
    let world = World::new().await;
    let (server, clock) = late_server(&world).await;
    let database = world.connect().await;
    let accounts = &server.accounts;
    let operators = Operators::new(
        server.store.clone(),
        server.players.clone(),
        clock,
        Arc::clone(accounts),
        Arc::clone(&server.game),
    );
    let guest = async || {
        let player = accounts.create_guest(None).await.expect("a guest").player;
        let sessions = accounts.sessions(player).await.expect("sessions");
        Identity { player, session: sessions[0].id }
    };
    let now = async || database_time(&database).await;
    let assert_timestamp = async |since: i64, reason: &str| {
        let (at, last_reason) = last_timestamp(&database).await;
        assert_eq!(last_reason, reason);
        assert!(at >= since, "{reason} has a timestamp {} s too early", (since - at) / 1_000_000);
    };

    let player = guest().await;
    let since = now().await;
    accounts.end_session(player.player, player.session).await.expect("ended");
    assert_timestamp(since, "session_ended").await;

    let player = guest().await;
    let since = now().await;
    let other = Identity { session: Uuid::from_u128(7), ..player };
    accounts.end_other_sessions(other).await.expect("ended");
    assert_timestamp(since, "session_ended").await;

    for (banned, reason) in [(true, "player_banned"), (false, "player_unbanned")] {
        let since = now().await;
        operators.set_banned(player.player, banned, None).await.expect("changed");
        assert_timestamp(since, reason).await;
    }

    let since = now().await;
    accounts.delete_player(player.player, None).await.expect("deleted");
    assert_timestamp(since, "player_deleted").await;

    // A job deletes guests who have been inactive for a month.
    guest().await;
    let age = "update players set created_at = created_at - interval '31 days',
        last_seen_at = last_seen_at - interval '31 days'";
    database.batch_execute(age).await.expect("aged");
    let since = now().await;
    server.jobs.run_due().await.expect("run");
    assert_timestamp(since, "player_deleted").await;
    let sql = "select (extract(epoch from max(deleted_at)) * 1e6)::bigint from deleted_players";
    let deleted: i64 = database.query_one(sql, &[]).await.expect("a tombstone").get(0);
    assert!(deleted >= since, "the tombstone has a timestamp too early");
    server.close().await;
}

/// Instances read the feed of revocations again for a limited time, because commits may be out of order. With a slow
/// disk or standby a commit may take longer than that.
#[tokio::test]
async fn a_revocation_committed_minutes_late_is_read_by_every_instance() {
    let world = World::new().await;
    let (app, other) = (world.start().await, world.start().await);
    let player = app.client.guest().await;
    let mut database = world.connect().await;
    let transaction = database.transaction().await.expect("begun");
    // The server's statement, with the time of the test.
    let sql = "with ended as (
            delete from sessions where player_id = $1::text::uuid returning session_id
        )
        insert into revocations (subject, reason, revoked_at)
        select session_id, 'session_ended', to_timestamp($2::float8 / 1e6) from ended";
    let now = world.clock.now().as_micros() as f64;
    assert_eq!(transaction.execute(sql, &[&player.id, &now]).await.expect("written"), 1);
    let others = world.connect().await;
    for _ in 0..4 {
        app.advance(60.0);
        // Each instance reads the feed, which has this newer revocation, but not the uncommitted one.
        let marker = Uuid::from_u128(rand::random());
        let sql = "insert into revocations (subject, reason, revoked_at)
            values ($1::text::uuid, 'session_ended', to_timestamp($2::float8 / 1e6))";
        let now = world.clock.now().as_micros() as f64;
        others.execute(sql, &[&marker.to_string(), &now]).await.expect("revoked");
        for instance in [&app, &other] {
            eventually("the feed is read", async || {
                instance.server.accounts.revocations().reason(marker).map(drop)
            })
            .await;
            player.at(instance).get("/me").await.expect(200);
        }
    }
    transaction.commit().await.expect("committed");
    for instance in [&app, &other] {
        eventually("the token is refused", async || {
            (player.at(instance).get("/me").await.status == 401).then_some(())
        })
        .await;
    }
}
