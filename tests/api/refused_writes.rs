//! Postgres answers and refuses writes: `/readyz` and the metrics say so, reads continue, and the server recovers by
//! itself.

use std::process::Command;

use serde_json::{Value, json};
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;

use crate::outage::assert_unavailable;
use crate::support::books::eventually;
use crate::support::own_cluster::OwnCluster;
use crate::support::proxy::Proxy;
use crate::support::{JWT_SECRET, Player, TestApp, World};

/// Simulates a full disk: Postgres fails each insert and update of these tables, which the server's trial writes use
/// too, as it does if a file cannot be extended.
const FULL_DISK: &str = "
    create function refuse() returns trigger language plpgsql as $$
    begin
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$;
    create trigger refuse before insert or update on players for each row execute function refuse();
    create trigger refuse before insert or update on silences for each row execute function refuse();";

/// The whole of `/readyz`, and its part about Postgres.
async fn readyz(app: &TestApp) -> (Value, Value) {
    let reply = app.client.send(app.client.request("GET", "/readyz")).await.expect(200);
    (reply.json["status"].clone(), reply.json["checks"]["postgres"]["status"].clone())
}

async fn until_readyz_says(app: &TestApp, status: &str, postgres: &str) {
    eventually(&format!("/readyz says {status} and {postgres}"), async || {
        (readyz(app).await == (json!(status), json!(postgres))).then_some(())
    })
    .await;
    let writable = f64::from(u8::from(status == "ok"));
    eventually("the metric follows", async || {
        (app.metric("database_writable") == writable).then_some(())
    })
    .await;
}

/// `database` is a connection that began before, so it may write.
async fn set_read_only(world: &World, database: &tokio_postgres::Client, read_only: bool) {
    let name = world.database.get_dbname().expect("a name");
    let action = if read_only { "set default_transaction_read_only = on" } else { "reset all" };
    // Connections that began before keep their setting.
    let sql = format!(
        "alter database {name} {action};
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()"
    );
    database.batch_execute(&sql).await.expect("altered");
}

async fn until_it_plays(player: &Player) {
    eventually("a click is written", async || (player.click(1).await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_read_only_database_is_reported_without_any_write() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    until_readyz_says(&app, "ok", "ok").await;
    set_read_only(&world, &database, true).await;
    until_readyz_says(&app, "degraded", "read_only").await;
    player.get("/me/ledger").await.expect(200);
    set_read_only(&world, &database, false).await;
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}

#[tokio::test]
async fn a_write_refused_by_a_read_only_database_is_reported() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    set_read_only(&world, &database, true).await;
    eventually("reads are answered", async || {
        (player.get("/me/ledger").await.status == 200).then_some(())
    })
    .await;
    for _ in 0..4 {
        assert_unavailable(player.click(1).await);
    }
    until_readyz_says(&app, "degraded", "read_only").await;
    set_read_only(&world, &database, false).await;
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}

/// Only sessions that begin later are read-only: here the lane's, and not those of requests.
#[tokio::test]
async fn one_read_only_session_makes_all_sessions_reconnect() {
    let world = World::new().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    let name = world.database.get_dbname().expect("a name");
    let database = world.connect().await;
    let sql = format!("alter database {name} set default_transaction_read_only = on");
    database.batch_execute(&sql).await.expect("altered");
    // The lane's sessions are those that run commits.
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where datname = current_database() and query like '-- store::commit%'";
    assert!(!database.query(end, &[]).await.expect("ended").is_empty());
    eventually("the lane has a new session", async || {
        (player.click(1).await.status == 503).then_some(())
    })
    .await;
    let guest = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
    assert_unavailable(guest);
    until_readyz_says(&app, "degraded", "read_only").await;
    database.batch_execute(&format!("alter database {name} reset all")).await.expect("altered");
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}

#[tokio::test]
async fn a_full_disk_is_reported() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    let before = player.state().await;
    database.batch_execute(FULL_DISK).await.expect("triggers");
    assert_unavailable(player.click(1).await);
    until_readyz_says(&app, "degraded", "degraded").await;
    assert_eq!(player.state().await, before, "reads go on and nothing was half done");
    player.get("/me/ledger").await.expect(200);
    let mend = "drop trigger refuse on players; drop trigger refuse on silences";
    database.batch_execute(mend).await.expect("mended");
    until_readyz_says(&app, "ok", "ok").await;
    assert_eq!(player.click(1).await.expect(200).json["state"]["version"], 2);
    // The trial writes leave one row at most, which belongs to no instance.
    let sql =
        "select count(*) from silences where instance = '00000000-0000-0000-0000-000000000000'";
    let rows: i64 = database.query_one(sql, &[]).await.expect("a count").get(0);
    assert!(rows <= 1, "{rows} rows");
}

/// The trial succeeds, and the players' changes do not.
#[tokio::test]
async fn an_accepted_test_write_proves_nothing_while_players_writes_are_refused() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    let rows_alone = FULL_DISK.replace(
        "create trigger refuse before insert or update on silences for each row execute function refuse();",
        "",
    );
    assert_ne!(rows_alone, FULL_DISK);
    database.batch_execute(&rows_alone).await.expect("a trigger");
    assert_unavailable(player.click(1).await);
    until_readyz_says(&app, "degraded", "degraded").await;
    let trials = "select n_tup_ins + n_tup_upd from pg_stat_user_tables where relname = 'silences'";
    eventually("some trials have been taken", async || {
        assert_unavailable(player.click(1).await);
        assert_eq!(readyz(&app).await, (json!("degraded"), json!("degraded")));
        let row = database.query_one(trials, &[]).await.expect("a count");
        (row.get::<_, i64>(0) >= 3).then_some(())
    })
    .await;
    database.batch_execute("drop trigger refuse on players").await.expect("mended");
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}

#[tokio::test]
async fn a_standby_is_reported_until_it_is_promoted() {
    let primary = OwnCluster::start(&[]).await;
    let standby = primary.standby().await;
    let proxy = Proxy::to(&primary.database()).await;
    let world = World::on(primary.database(), proxy.way(&primary.database()).into());
    let app = world.start().await;
    let player = app.client.guest().await;
    until_readyz_says(&app, "ok", "ok").await;
    proxy.lead_to(&standby.database());
    drop(primary);
    until_readyz_says(&app, "degraded", "read_only").await;
    let (database, connection) = standby.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    database.query_one("select pg_promote()", &[]).await.expect("promoted");
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}

/// The address of a database as `DATABASE_URL` has it.
fn url(database: &tokio_postgres::Config) -> String {
    let [Host::Unix(sockets)] = database.get_hosts() else { panic!("a unix socket") };
    let sockets = sockets.display().to_string().replace('/', "%2F");
    let (user, name) = (database.get_user().expect("a user"), database.get_dbname());
    format!("postgres://{user}@{sockets}:{}/{}", database.get_ports()[0], name.expect("a name"))
}

/// What `idlewatt doctor` says about a database, and whether it found no fault.
fn doctor(database: &tokio_postgres::Config) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_idlewatt"))
        .arg("doctor")
        .current_dir(std::env::temp_dir())
        .envs([("DATABASE_URL", url(database).as_str()), ("JWT_SECRET", JWT_SECRET)])
        .envs([("PORT", "0"), ("METRICS_PORT", "0")])
        .output()
        .expect("the program runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn the_doctor_reports_a_read_only_database_and_too_few_connections() {
    let world = World::new().await;
    let (well, said) = doctor(&world.database);
    assert!(well && said.contains("ok    writes") && said.contains("ok    connections"), "{said}");
    let database = world.connect().await;
    set_read_only(&world, &database, true).await;
    let (well, said) = doctor(&world.database);
    assert!(!well && said.contains("FAULT writes"), "{said}");
    set_read_only(&world, &database, false).await;
    let role = "few_of_the_doctor";
    let sql = format!(
        "create role {role} login; grant create on schema public to {role};
         grant all on all tables in schema public to {role}"
    );
    database.batch_execute(&sql).await.expect("a role");
    let mut few = world.database.clone();
    few.user(role);
    for (limit, enough) in [(2, false), (3, true)] {
        let sql = format!("alter role {role} connection limit {limit}");
        database.batch_execute(&sql).await.expect("altered");
        let (well, said) = doctor(&few);
        assert_eq!(well, enough, "{said}");
        assert_eq!(said.contains("FAULT connections"), !enough, "{said}");
        assert!(
            said.contains(&format!("connections: Postgres allows {limit} connections")),
            "{said}"
        );
    }
}

/// Other clients have taken all connections: there is none to write with.
#[tokio::test]
async fn a_lasting_lack_of_connections_is_reported() {
    let cluster = OwnCluster::start(&["max_connections=24"]).await;
    let world = World::on(cluster.database(), cluster.database().into());
    let app = world.start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    let mut config = cluster.database();
    config.application_name("others");
    let (administrator, connection) = config.connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let mut others = Vec::new();
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where backend_type = 'client backend' and application_name <> 'others'";
    // Until the server has none left.
    loop {
        while let Ok((client, connection)) = config.connect(NoTls).await {
            tokio::spawn(connection);
            others.push(client);
        }
        if administrator.query(end, &[]).await.expect("ended").is_empty() {
            break;
        }
    }
    until_readyz_says(&app, "degraded", "down").await;
    assert_unavailable(player.click(1).await);
    drop(others);
    until_readyz_says(&app, "ok", "ok").await;
    until_it_plays(&player).await;
}
