//! Postgres allows fewer connections than the server's pools would open.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::books::eventually;
use crate::support::own_cluster::OwnCluster;
use crate::support::{Options, PASSWORD, Player, Reply, TestApp, World};

/// The sizes of a server with default settings.
const DEFAULT_SIZES: Options<'static> = &[("DATABASE_POOL_SIZE", "16"), ("HTTP_WORKERS", "0")];

static NEXT_ROLE: AtomicU32 = AtomicU32::new(0);

/// A role that owns the world's database, and as which the servers of the returned world sign in. Its connections are
/// limited to that number, whoever opens them.
async fn limited(world: World, limit: i32) -> (World, String) {
    let role = format!("few_{}", NEXT_ROLE.fetch_add(1, Ordering::Relaxed));
    let name = world.database.get_dbname().expect("a name").to_owned();
    let sql = format!(
        "create role {role} login connection limit {limit}; alter database {name} owner to {role}"
    );
    world.connect().await.batch_execute(&sql).await.expect("a role");
    let mut connection = world.database.clone();
    connection.user(&role);
    (World { endpoint: connection.into(), ..world }, role)
}

/// An empty database that is reached without a pooler, by a role with that limit.
async fn few(limit: i32) -> (World, String) {
    let World { database, .. } = World::empty().await;
    limited(World::on(database.clone(), database.into()), limit).await
}

/// Sends a request until it is answered with another status than 503.
async fn until_served(send: impl AsyncFn() -> Reply) -> Reply {
    eventually("the server has a connection for it", async || {
        Some(send().await).filter(|reply| reply.status != 503)
    })
    .await
}

async fn guest(app: &TestApp) -> Player {
    let ask = async || app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
    Player::of(&app.client, &until_served(ask).await.expect(201))
}

/// Forty guests at once; then each alone does what uses the lane's pool and the others in turn.
async fn assert_play_works(app: &TestApp) {
    let players = join_all((0..40).map(|_| guest(app))).await;
    for (player, version) in players.iter().zip(std::iter::repeat(1)) {
        let clicked = until_served(async || player.click(2).await).await.expect(200);
        assert_eq!(clicked.json["state"]["version"], version);
    }
    let player = &players[0];
    let granted = json!({ "energy": 50.0, "reason": "for a crank" });
    let path = format!("/players/{}/grant", player.id);
    let grant = async || app.client.admin("POST", &path, Some(granted.clone())).await;
    until_served(grant).await.expect(200);
    until_served(async || player.buy("hand_crank", json!(1)).await).await.expect(200);
    until_served(async || player.get("/me/ledger").await).await.expect(200);
    until_served(async || player.get("/rankings").await).await.expect(200);
    let body = json!({ "username": format!("few_{}", &player.id[24..]), "password": PASSWORD });
    for (path, status) in [("/auth/register", 201), ("/auth/login", 200)] {
        let sign_in = async || app.client.call("POST", path, "", Some(body.clone())).await;
        until_served(sign_in).await.expect(status);
    }
    // The lane gets its turn however many others wait.
    let crowd = join_all((0..24).map(async |_| guest(app).await));
    let clicks = async {
        for version in 2..12 {
            let clicked = until_served(async || players[1].click(1).await).await.expect(200);
            assert_eq!(clicked.json["state"]["version"], version);
        }
    };
    tokio::join!(crowd, clicks);
    let readyz = app.client.send(app.client.request("GET", "/readyz")).await.expect(200);
    assert_eq!(readyz.json["checks"]["postgres"]["status"], "ok", "{}", readyz.text);
}

/// How many connections the role has open.
async fn open(world: &World, role: &str) -> i64 {
    let sql = "select count(*) from pg_stat_activity where usename = $1";
    world.connect().await.query_one(sql, &[&role]).await.expect("a count").get(0)
}

/// An instance that also runs jobs: each schedule is due at once.
async fn start_with_jobs(world: &World) -> TestApp {
    let app = world.start_with(DEFAULT_SIZES).await;
    app.advance(7.0 * 86_400.0);
    app.server.jobs.start(&app.server.supervisor);
    eventually("a job has run", async || {
        let reply = app.client.admin("GET", "/jobs?status=done", None).await;
        reply.json["entries"].as_array().filter(|jobs| !jobs.is_empty()).map(drop)
    })
    .await;
    app
}

async fn assert_play_works_with(limit: i32) {
    let (world, _) = few(limit).await;
    let app = start_with_jobs(&world).await;
    assert_play_works(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn with_seventeen_connections_everything_works() {
    assert_play_works_with(17).await;
}

#[tokio::test]
async fn with_five_connections_everything_works() {
    assert_play_works_with(5).await;
}

#[tokio::test]
async fn with_four_connections_everything_works() {
    assert_play_works_with(4).await;
}

#[tokio::test]
async fn with_three_connections_everything_works() {
    assert_play_works_with(3).await;
}

/// Fewer connections than kinds of work: none is reserved for the lane, and all take turns.
#[tokio::test]
async fn with_one_connection_everything_works() {
    assert_play_works_with(1).await;
}

#[tokio::test]
async fn with_the_connections_left_to_ordinary_roles_everything_works() {
    let cluster = OwnCluster::start(&["max_connections=20"]).await;
    let world = World::on(cluster.database(), cluster.database().into());
    let (world, _) = limited(world, -1).await;
    let app = start_with_jobs(&world).await;
    assert_play_works(&app).await;
    app.stop().await;
}

/// Jobs have their own connections, and some keep one for a whole transaction.
#[tokio::test]
async fn with_three_connections_jobs_run_while_others_play() {
    let (world, _) = few(3).await;
    let app = world.start_with(DEFAULT_SIZES).await;
    let absent = guest(&app).await;
    until_served(async || absent.click(1).await).await.expect(200);
    // A week later all schedules are due, and this player is to be settled.
    app.advance(7.0 * 86_400.0);
    app.server.jobs.start(&app.server.supervisor);
    tokio::join!(assert_play_works(&app), async {
        eventually("every kind of job has run", async || {
            let reply = app.client.admin("GET", "/jobs?status=done&limit=100", None).await;
            let jobs = reply.json["entries"].as_array()?.clone();
            let is_done = |kind: &str| jobs.iter().any(|job| job["kind"] == kind);
            let kinds = ["sweep", "purge_guests", "purge_sessions", "freeze_seasons", "trim_jobs"];
            kinds.into_iter().all(is_done).then_some(())
        })
        .await;
    });
    let dead = app.client.admin("GET", "/jobs?status=dead", None).await;
    assert_eq!(dead.expect(200).json["entries"], Value::Array(Vec::new()));
    app.stop().await;
}

/// What two instances may open together. The second one starts with what the first one leaves.
#[tokio::test]
async fn two_instances_share_few_connections() {
    let (world, role) = few(6).await;
    let first = world.start_with(DEFAULT_SIZES).await;
    assert_play_works(&first).await;
    eventually("the first instance closes what it does not use", async || {
        (open(&world, &role).await <= 3).then_some(())
    })
    .await;
    let second = world.start_with(DEFAULT_SIZES).await;
    tokio::join!(assert_play_works(&first), assert_play_works(&second));
    tokio::join!(first.stop(), second.stop());
}

#[tokio::test]
async fn the_pool_grows_again_when_more_connections_may_be_opened() {
    let (world, role) = few(3).await;
    let app = world.start_with(DEFAULT_SIZES).await;
    join_all((0..10).map(|_| guest(&app))).await;
    assert!(open(&world, &role).await <= 3);
    let mut blocker = world.connect().await;
    let sql = format!("alter role {role} connection limit -1");
    blocker.batch_execute(&sql).await.expect("altered");
    let block = blocker.transaction().await.expect("begun");
    block.batch_execute("lock table sessions in exclusive mode").await.expect("locked");
    // Each of them waits for the table with a connection, or waits for a connection.
    let guests = join_all((0..12).map(|_| guest(&app)));
    let grown = async {
        eventually("there are more connections", async || {
            (open(&world, &role).await > 8).then_some(())
        })
        .await;
        block.rollback().await.expect("released");
    };
    tokio::join!(guests, grown);
    app.stop().await;
}

/// Refusing a connection costs Postgres a process.
#[tokio::test]
async fn a_server_that_is_short_of_connections_tries_few() {
    let cluster = OwnCluster::start(&[]).await;
    let (world, _) = limited(World::on(cluster.database(), cluster.database().into()), 3).await;
    let app = world.start_with(DEFAULT_SIZES).await;
    let refused = || cluster.log().matches("too many connections for role").count();
    assert_play_works(&app).await;
    let before = refused();
    let players = join_all((0..20).map(|_| guest(&app))).await;
    for _ in 0..10 {
        join_all(players.iter().map(async |player| {
            until_served(async || player.get("/me/ledger").await).await.expect(200);
        }))
        .await;
    }
    let tried = refused() - before;
    assert!(tried < 15, "{tried} connections were tried in vain by some 220 calls");
    app.stop().await;
}
