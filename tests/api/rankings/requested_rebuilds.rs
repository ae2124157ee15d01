//! Rebuilds of the boards that an operator requests, or that are needed because the database was restored to an earlier
//! state.

use idlewatt::clock::Clock;
use idlewatt::rankings::{Board, Error};
use redis::AsyncCommands;
use serde_json::Value;

use super::{add_players, ids, page, publish_until, rebuild, test_in_process_and_on_redis};
use crate::support::books::eventually;
use crate::support::redis::connect;
use crate::support::{Player, TestApp, World};

/// Starts a server with one player, who was inserted into the database, and with boards that need no rebuild.
async fn start_with_player(world: &World) -> TestApp {
    let app = world.start().await;
    add_players(world, &[(10.0, 0, 0.0)]).await;
    rebuild(&app).await;
    publish_until(&app, "", "the player", |list| list["entries"][0]["score"] == 10.0).await;
    assert_eq!(app.server.rankings.rebuild_if_due().await.expect("asked"), None);
    app
}

/// Changes the player's row so that only a rebuild notices it.
async fn raise_score(world: &World) {
    let sql = "update players set lifetime_energy = 20";
    world.connect().await.execute(sql, &[]).await.expect("raised");
}

async fn request_rebuild(app: &TestApp) {
    let reply = app.client.admin("POST", "/rankings/rebuild", None).await.expect(202);
    assert!(["started", "running"].contains(&reply.json["status"].as_str().expect("text")));
}

async fn wait_for_raised_score(app: &TestApp) {
    publish_until(app, "", "the rebuild", |list| list["entries"][0]["score"] == 20.0).await;
}

#[tokio::test]
async fn a_requested_rebuild_follows_the_rebuild_of_another_instance() {
    let world = World::new().await.with_redis();
    let app = start_with_player(&world).await;
    let (_, prefix) = world.redis.clone().expect("a Redis");
    let mut connection = connect(crate::support::redis::shared_redis()).await;
    let live: Vec<String> =
        connection.keys(format!("{prefix}*{{rankings}}:meta")).await.expect("keys");
    let meta = format!("{}build:meta", live[0].trim_end_matches("meta"));
    let () = connection.hset(&meta, "token", "of another").await.expect("set");
    raise_score(&world).await;
    request_rebuild(&app).await;
    for _ in 0..3 {
        assert_eq!(app.server.rankings.rebuild_if_due().await.expect("asked"), None);
    }
    let () = connection.del(&meta).await.expect("ended");
    wait_for_raised_score(&app).await;
}

async fn a_requested_rebuild_is_repeated_after_a_failure(world: World) {
    let app = start_with_player(&world).await;
    raise_score(&world).await;
    world.cut_database().await;
    request_rebuild(&app).await;
    eventually("a rebuild fails", async || {
        matches!(app.server.rankings.rebuild_if_due().await, Err(Error::Store(_))).then_some(())
    })
    .await;
    world.mend_database().await;
    eventually("the rebuild is repeated", async || {
        app.server.rankings.rebuild_if_due().await.ok();
        let page = app.server.rankings.page(Board::LifetimeEnergy, 0, 1).await.ok()?;
        page.entries.first().filter(|entry| entry.score == 20.0).map(drop)
    })
    .await;
}

async fn a_rebuild_requested_during_a_rebuild_follows_it(world: World) {
    let app = start_with_player(&world).await;
    // The lock blocks the rebuild at its first read.
    let mut database = world.connect().await;
    let lock = database.transaction().await.expect("begun");
    lock.batch_execute("lock table players in access exclusive mode").await.expect("locked");
    let requesting = async {
        eventually("a rebuild is under way", async || {
            let reply = app.client.admin("POST", "/rankings/rebuild", None).await.expect(202);
            (reply.json["status"] == "running").then_some(())
        })
        .await;
        lock.rollback().await.expect("unlocked");
    };
    let rebuilds = app.metric("rankings_rebuilds_total");
    let (rebuilt, ()) = tokio::join!(app.server.rankings.rebuild(), requesting);
    rebuilt.expect("rebuilt");
    eventually("another one follows", async || {
        (app.metric("rankings_rebuilds_total") >= rebuilds + 2.0).then_some(())
    })
    .await;
}

/// Registers a player with clicks and sets its row back to an earlier state, as a restore of the database does.
async fn restore_earlier_row(world: &World, app: &TestApp) -> Player {
    let ada = app.client.register("ada").await;
    ada.click(5).await.expect(200);
    publish_until(app, "", "five clicks", |list| list["entries"][0]["score"] == 5.0).await;
    let database = world.connect().await;
    database.batch_execute("create table before as select * from players").await.expect("kept");
    ada.click(10).await.expect(200);
    ada.click(10).await.expect(200);
    publish_until(app, "", "all clicks", |list| list["entries"][0]["score"] == 25.0).await;
    let sql = "
        update players set (energy, lifetime_energy, revision, version, settled_at, last_seen_at, accrues_until)
            = (before.energy, before.lifetime_energy, before.revision, before.version, before.settled_at,
                before.last_seen_at, before.accrues_until)
        from before where before.player_id = players.player_id";
    assert_eq!(database.execute(sql, &[]).await.expect("set back"), 1);
    ada
}

async fn scores_are_correct_after_the_database_was_restored(world: World) {
    let app = world.start().await;
    let ada = restore_earlier_row(&world, &app).await;
    app.server.rankings.forget_all();
    let is_correct =
        |list: &Value| ids(list) == [ada.id.clone()] && list["entries"][0]["score"] == 5.0;
    eventually("the score of the row", async || {
        let list = page(&app, "").await.expect(200).json;
        // Boards in Redis are served until the rebuild has replaced them.
        assert!(list["stale"] == true || is_correct(&list) || world.redis.is_some(), "{list}");
        app.server.rankings.publish().await.ok();
        (list["stale"] == false && is_correct(&list)).then_some(())
    })
    .await;
    // A later click counts, although its row has a revision that existed before the restore.
    let fresh = world.start().await;
    ada.at(&fresh).click(1).await.expect(200);
    for app in [&app, &fresh] {
        publish_until(app, "", "a click", |list| list["entries"][0]["score"] == 6.0).await;
    }
}

async fn a_row_read_before_a_restore_does_not_change_the_score(world: World) {
    let app = world.start().await;
    let ada = app.client.register("ada").await;
    let id = ada.id.parse().expect("an id");
    ada.click(10).await.expect(200);
    publish_until(&app, "", "ten clicks", |list| list["entries"][0]["score"] == 10.0).await;
    let record = app.server.store.load_player(id).await.expect("read").expect("a row");
    let outdated = std::sync::Arc::new(record);
    let sql = "update players set revision = 1, lifetime_energy = 5, energy = 5";
    world.connect().await.execute(sql, &[]).await.expect("set back");
    app.server.rankings.forget_all();
    for _ in 0..3 {
        // A call that began before the restore may still report the row that it has read.
        app.server.rankings.seen().note(&outdated, world.clock.now());
        app.server.rankings.publish().await.expect("published");
    }
    publish_until(&app, "", "the score of the row", |list| list["entries"][0]["score"] == 5.0)
        .await;
    for _ in 0..3 {
        app.server.rankings.seen().note(&outdated, world.clock.now());
        app.server.rankings.publish().await.expect("published");
        let list = eventually("a page", async || {
            app.server.rankings.page(Board::LifetimeEnergy, 0, 1).await.ok()
        });
        assert_eq!(list.await.entries[0].score, 5.0);
    }
}

async fn a_rebuild_that_began_before_a_restore_is_discarded(world: World) {
    let app = start_with_player(&world).await;
    let mut database = world.connect().await;
    let lock = database.transaction().await.expect("begun");
    lock.batch_execute("lock table players in access exclusive mode").await.expect("locked");
    let resetting = async {
        eventually("a rebuild is under way", async || {
            (!app.server.rankings.demand_rebuild()).then_some(())
        })
        .await;
        app.server.rankings.forget_all();
        lock.rollback().await.expect("unlocked");
    };
    let rebuild = async {
        eventually("this instance rebuilds", async || {
            app.server.rankings.rebuild().await.map(|rebuilt| rebuilt.map(drop)).transpose()
        })
        .await
    };
    let (rebuilt, ()) = tokio::join!(rebuild, resetting);
    assert!(matches!(rebuilt, Err(Error::Unavailable(_))), "{rebuilt:?}");
    // The next rebuild does not wait for the discarded one.
    raise_score(&world).await;
    app.server.rankings.demand_rebuild();
    wait_for_raised_score(&app).await;
}

test_in_process_and_on_redis!(
    a_requested_rebuild_is_repeated_after_a_failure,
    a_rebuild_requested_during_a_rebuild_follows_it,
    scores_are_correct_after_the_database_was_restored,
    a_row_read_before_a_restore_does_not_change_the_score,
    a_rebuild_that_began_before_a_restore_is_discarded,
);
