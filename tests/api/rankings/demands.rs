//! Rebuilds that an operator demands.

use idlewatt::rankings::{Board, Error};
use redis::AsyncCommands;

use super::{add_players, on_both_forms, rebuild, shown};
use crate::support::books::eventually;
use crate::support::redis::connect;
use crate::support::{TestApp, World};

/// A player whom nobody has seen, on boards that need no rebuild.
async fn one_player(world: &World) -> TestApp {
    let app = world.start().await;
    add_players(world, &[(10.0, 0, 0.0)]).await;
    rebuild(&app).await;
    shown(&app, "", "the player", |list| list["entries"][0]["score"] == 10.0).await;
    assert_eq!(app.server.rankings.rebuild_if_due().await.expect("asked"), None);
    app
}

/// Changes the player's row so that only a rebuild finds it.
async fn raise_score(world: &World) {
    let sql = "update players set lifetime_energy = 20";
    world.connect().await.execute(sql, &[]).await.expect("raised");
}

async fn demand(app: &TestApp) {
    let reply = app.client.admin("POST", "/rankings/rebuild", None).await.expect(202);
    assert!(["started", "running"].contains(&reply.json["status"].as_str().expect("text")));
}

async fn assert_raised(app: &TestApp) {
    shown(app, "", "the rebuild", |list| list["entries"][0]["score"] == 20.0).await;
}

#[tokio::test]
async fn a_demand_outlasts_the_rebuild_of_another_instance() {
    let world = World::new().await.with_redis();
    let app = one_player(&world).await;
    let (_, prefix) = world.redis.clone().expect("a Redis");
    let mut connection = connect(crate::support::redis::shared_redis()).await;
    let live: Vec<String> =
        connection.keys(format!("{prefix}*{{rankings}}:meta")).await.expect("keys");
    let meta = format!("{}build:meta", live[0].trim_end_matches("meta"));
    let () = connection.hset(&meta, "token", "of another").await.expect("set");
    raise_score(&world).await;
    demand(&app).await;
    for _ in 0..3 {
        assert_eq!(app.server.rankings.rebuild_if_due().await.expect("asked"), None);
    }
    let () = connection.del(&meta).await.expect("ended");
    assert_raised(&app).await;
}

async fn a_demand_outlasts_a_rebuild_that_fails(world: World) {
    let app = one_player(&world).await;
    raise_score(&world).await;
    world.cut_database().await;
    demand(&app).await;
    eventually("a rebuild fails", async || {
        matches!(app.server.rankings.rebuild_if_due().await, Err(Error::Store(_))).then_some(())
    })
    .await;
    world.mend_database().await;
    eventually("it is done after all", async || {
        app.server.rankings.rebuild_if_due().await.ok();
        let page = app.server.rankings.page(Board::LifetimeEnergy, 0, 1).await.ok()?;
        page.entries.first().filter(|entry| entry.score == 20.0).map(drop)
    })
    .await;
}

async fn a_demand_outlasts_the_rebuild_that_was_under_way(world: World) {
    let app = one_player(&world).await;
    // The rebuild has begun, and cannot read yet.
    let mut database = world.connect().await;
    let lock = database.transaction().await.expect("begun");
    lock.batch_execute("lock table players in access exclusive mode").await.expect("locked");
    let demanding = async {
        eventually("a rebuild is under way", async || {
            let reply = app.client.admin("POST", "/rankings/rebuild", None).await.expect(202);
            (reply.json["status"] == "running").then_some(())
        })
        .await;
        lock.rollback().await.expect("unlocked");
    };
    let rebuilds = app.metric("rankings_rebuilds_total");
    let (rebuilt, ()) = tokio::join!(app.server.rankings.rebuild(), demanding);
    rebuilt.expect("rebuilt");
    eventually("another one follows", async || {
        (app.metric("rankings_rebuilds_total") >= rebuilds + 2.0).then_some(())
    })
    .await;
}

on_both_forms!(
    a_demand_outlasts_a_rebuild_that_fails,
    a_demand_outlasts_the_rebuild_that_was_under_way,
);
