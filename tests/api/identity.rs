//! Databases that are copied, restored or replaced while servers and Redis keep what they stored.

use redis::AsyncCommands;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::books::{count, eventually};
use crate::support::cluster::copy_of;
use crate::support::redis::{connect, shared_redis};
use crate::support::{Player, TestApp, World};

/// The columns that a restore changes.
const COLUMNS: &str = "revision, version, energy, lifetime_energy, ledger_balance";

/// Copies every player's row.
async fn back_up(database: &Client) {
    let sql = format!(
        "drop table if exists backup; create table backup as select player_id, {COLUMNS} from players"
    );
    database.batch_execute(&sql).await.expect("backed up");
}

/// Closes all connections of the servers and restores the rows, like a restore or a standby that lags behind.
async fn restore(database: &Client) {
    let sql = format!(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid();
         update players set ({COLUMNS}) = (select {COLUMNS} from backup where backup.player_id = players.player_id)
         where player_id in (select player_id from backup)"
    );
    database.batch_execute(&sql).await.expect("restored");
}

fn epoch(state: &Value) -> &str {
    state["epoch"].as_str().expect("a text")
}

async fn clicks(player: &Player, times: usize) {
    for _ in 0..times {
        player.click(1).await.expect(200);
    }
}

#[tokio::test]
async fn a_copy_of_the_database_on_the_same_redis_is_another_deployment() {
    let world = World::new().await.with_redis();
    let first = world.start().await;
    let player = first.client.guest().await;
    let doomed = first.client.guest().await;
    clicks(&player, 3).await;
    let rank = async |player: &Player| {
        let board = player.get("/rankings/me?board=lifetime_energy&around=5").await;
        (board.status == 200).then_some(board.json)
    };
    eventually("the board is there", async || rank(&player).await).await;
    first.stop().await;

    let staging = World { database: copy_of(&world.database).await, ..world.clone() };
    let staging = World { endpoint: staging.database.clone().into(), ..staging };
    // The copy uses another database number too; channels are shared by all numbers.
    let (url, prefix) = staging.redis.clone().expect("a Redis");
    let staging = World { redis: Some((format!("{url}/1"), prefix)), ..staging };
    let (p, s) = (world.start().await, staging.start().await);
    let (here, there) = (player.at(&p), player.at(&s));
    let mine = here.state().await;
    assert_ne!(epoch(&mine), epoch(&there.state().await));
    let rename = json!({ "display_name": "STAGING" });
    there.client.call("PATCH", "/me", &there.token, Some(rename)).await.expect(200);
    clicks(&there, 9).await;
    doomed.at(&p).state().await;
    doomed.at(&s).state().await;
    let delete = doomed.at(&s);
    delete.client.call("DELETE", "/me", &delete.token, None).await.expect(204);
    // The announcements of the copy have arrived when a change of another instance of the original has.
    let second = world.start().await;
    let version = count(&mine["version"]);
    for step in 1..=3 {
        let state = here.state().await;
        assert_eq!(state["display_name"], mine["display_name"]);
        assert_eq!(count(&state["version"]), version + step - 1);
        clicks(&player.at(&second), 1).await;
        eventually("a change of a peer is seen", async || {
            (count(&here.state().await["version"]) == version + step).then_some(())
        })
        .await;
        doomed.at(&p).get("/me").await.expect(200);
    }
    // The copy's deletion and its names do not affect the original.
    eventually("both players are on the board under their own names", async || {
        let board = here.get("/rankings").await.expect(200).json;
        let best = &board["entries"][0];
        let own = best["display_name"] == mine["display_name"] && best["player_id"] == here.id;
        (own && board["total_players"] == 2).then_some(())
    })
    .await;
    for app in [p, s, second] {
        app.stop().await;
    }
}

/// A restore in place: same server, same timeline, older rows.
async fn rows_go_back(world: World) {
    let database = world.connect().await;
    let (a, b) = (world.start().await, world.start().await);
    let player = a.client.guest().await;
    clicks(&player, 1).await;
    back_up(&database).await;
    let kept = player.state().await;
    clicks(&player, 4).await;
    let lost = player.state().await;
    player.at(&b).state().await;
    assert_eq!(epoch(&kept), epoch(&lost), "nothing went back yet");
    restore(&database).await;
    // Each instance serves the row of the database, in a new epoch, and never the old row in the new epoch.
    for app in [&a, &b] {
        let there = player.at(app);
        let state = eventually("the row is read again", async || {
            let reply = there.get("/me").await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            let new = epoch(&reply.json) != epoch(&kept);
            let old = reply.json["version"] == lost["version"];
            assert!(!(new && old), "the new epoch came with the old row");
            new.then_some(reply.json)
        })
        .await;
        assert_eq!((&state["version"], &state["energy"]), (&kept["version"], &kept["energy"]));
    }
    // An instance may find the old row once more and renew the epoch again; the other one follows.
    let at_a = eventually("both are in one epoch", async || {
        let [at_a, at_b] = [player.at(&a).state().await, player.at(&b).state().await];
        (epoch(&at_a) == epoch(&at_b)).then_some(at_a)
    })
    .await;
    // And play continues from there.
    let version = count(&kept["version"]);
    for (step, app) in (1..=4).zip([&a, &b].into_iter().cycle()) {
        // An instance changes nothing until it has read everything again.
        let there = player.at(app);
        let clicked = eventually("a click is taken", async || {
            let reply = there.click(1).await;
            (reply.status == 200).then_some(reply.json)
        })
        .await;
        assert_eq!(count(&clicked["state"]["version"]), version + step);
        assert_eq!(epoch(&clicked["state"]), epoch(&at_a));
    }
    for app in [a, b] {
        app.stop().await;
    }
}

#[tokio::test]
async fn reverted_rows_are_read_again_in_a_new_epoch() {
    rows_go_back(World::new().await).await;
}

#[tokio::test]
async fn reverted_rows_are_read_again_in_a_new_epoch_with_the_same_redis() {
    rows_go_back(World::new().await.with_redis()).await;
}

#[tokio::test]
async fn boards_follow_reverted_rows() {
    let world = World::new().await.with_redis();
    let database = world.connect().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    clicks(&player, 1).await;
    back_up(&database).await;
    clicks(&player, 4).await;
    let score = async || {
        let board = player.get("/rankings/me?board=lifetime_energy").await;
        (board.status == 200).then(|| board.json["score"].as_f64().expect("a score"))
    };
    let published = async |wanted| {
        eventually("the score is published", async || {
            (score().await == Some(wanted)).then_some(())
        })
        .await;
    };
    published(5.0).await;
    let before = player.state().await;
    restore(&database).await;
    // The row in the cache is served until the server notices that its connections were closed.
    eventually("the row is read again", async || {
        (epoch(&player.state().await) != epoch(&before)).then_some(())
    })
    .await;
    published(1.0).await;
    app.stop().await;
}

/// A revision alone does not distinguish rows of two histories.
#[tokio::test]
async fn no_command_uses_a_row_of_the_same_revision_in_another_epoch() {
    let world = World::new().await;
    let database = world.connect().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    clicks(&player, 5).await;
    // Restored, and then written as often by another instance: the revision is the same, and the row is not.
    database
        .batch_execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid();
             update players set energy = 100, lifetime_energy = 100",
        )
        .await
        .expect("another history");
    let clicked = eventually("a click is taken", async || {
        let reply = player.click(1).await;
        (reply.status == 200).then_some(reply.json)
    })
    .await;
    assert_eq!(clicked["state"]["energy"], 101.0);
    app.stop().await;
}

/// While a release is rolled out, instances of the previous release use one channel for all databases.
#[tokio::test]
async fn changes_of_an_instance_of_the_previous_release_are_seen() {
    let world = World::new().await.with_redis();
    let database = world.connect().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    let redis = connect(shared_redis()).await;
    let channel = format!("{}changes", world.redis.as_ref().expect("a Redis").1);
    let older = [&[16][..], &[7; 16]].concat();
    let id: uuid::Uuid = player.id.parse().expect("an id");
    let beat = [&[2, 0][..], &older].concat();
    // Changed at 0, one change: touched.
    let touched = [&[2, 2][..], &older, &[0, 1, 1, 16], id.as_bytes()].concat();
    // It does not receive what this instance announces, which this instance notes in the database.
    eventually("this instance says that it is not heard", async || {
        let mut redis = redis.clone();
        redis.publish::<_, _, ()>(&channel, beat.clone()).await.expect("published");
        let sql = "select from silences where noted_at > clock_timestamp() - interval '3 s'";
        (!database.query(sql, &[]).await.expect("asked").is_empty()).then_some(())
    })
    .await;
    let loads = app.loads();
    eventually("what it changed is read again", async || {
        player.state().await;
        let mut redis = redis.clone();
        redis.publish::<_, _, ()>(&channel, touched.clone()).await.expect("published");
        player.state().await;
        (app.loads() > loads + 2.0).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_bucket_survives_a_new_epoch() {
    let world = World::new().await.with_redis();
    let database = world.connect().await;
    let limits = [("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "20")];
    let app: TestApp = world.start_with(&limits).await;
    let player = app.client.guest().await;
    clicks(&player, 1).await;
    back_up(&database).await;
    clicks(&player, 1).await;
    let before = player.state().await;
    restore(&database).await;
    let mut redis = connect(shared_redis()).await;
    eventually("the epoch is another one", async || {
        // It is noticed by the first read that succeeds.
        player.get("/me").await;
        (app.server.store.identity().epoch().to_string() != epoch(&before)).then_some(())
    })
    .await;
    let pattern = format!("{}*limit:player:*", world.redis.as_ref().expect("a Redis").1);
    let keys: Vec<String> = redis.keys(pattern).await.expect("listed");
    assert_eq!(keys.len(), 1, "one bucket: {keys:?}");
    app.stop().await;
}
