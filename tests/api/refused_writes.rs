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

/// The overall status in `/readyz`, and the status of Postgres.
async fn readyz(app: &TestApp) -> (Value, Value) {
    let reply = app.client.send(app.client.request("GET", "/readyz")).await.expect(200);
    (reply.json["status"].clone(), reply.json["checks"]["postgres"]["status"].clone())
}

/// Waits until `/readyz` and the metric `database_writable` have this state.
async fn wait_for_readyz(app: &TestApp, status: &str, postgres: &str) {
    eventually(&format!("/readyz says {status} and {postgres}"), async || {
        (readyz(app).await == (json!(status), json!(postgres))).then_some(())
    })
    .await;
    let writable = f64::from(u8::from(status == "ok"));
    eventually("the metric is set", async || {
        (app.metric("database_writable") == writable).then_some(())
    })
    .await;
}

/// Makes the database refuse or accept writes in new sessions, and ends all sessions but that of `database`.
async fn set_read_only(world: &World, database: &tokio_postgres::Client, read_only: bool) {
    let name = world.database.get_dbname().expect("a name");
    let action = if read_only { "set default_transaction_read_only = on" } else { "reset all" };
    // A session keeps the setting that it began with.
    let sql = format!(
        "alter database {name} {action};
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()"
    );
    database.batch_execute(&sql).await.expect("altered");
}

async fn wait_until_writable(player: &Player) {
    eventually("a click is written", async || (player.click(1).await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_read_only_database_is_reported_without_any_write() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    wait_for_readyz(&app, "ok", "ok").await;
    set_read_only(&world, &database, true).await;
    wait_for_readyz(&app, "degraded", "read_only").await;
    player.get("/me/ledger").await.expect(200);
    set_read_only(&world, &database, false).await;
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
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
    wait_for_readyz(&app, "degraded", "read_only").await;
    set_read_only(&world, &database, false).await;
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
}

/// Only new sessions are read-only. Here that is the session of a lane (a thread that commits players' commands), and
/// not those of requests.
#[tokio::test]
async fn one_read_only_session_makes_the_server_replace_all_sessions() {
    let world = World::new().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    let name = world.database.get_dbname().expect("a name");
    let database = world.connect().await;
    let sql = format!("alter database {name} set default_transaction_read_only = on");
    database.batch_execute(&sql).await.expect("altered");
    // The lane's sessions are those that execute commits.
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
        where datname = current_database() and query like '-- store::commit%'";
    assert!(!database.query(end, &[]).await.expect("ended").is_empty());
    eventually("the lane has a new session", async || {
        (player.click(1).await.status == 503).then_some(())
    })
    .await;
    let guest = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
    assert_unavailable(guest);
    wait_for_readyz(&app, "degraded", "read_only").await;
    database.batch_execute(&format!("alter database {name} reset all")).await.expect("altered");
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
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
    wait_for_readyz(&app, "degraded", "degraded").await;
    assert_eq!(player.state().await, before, "a refused click changed the state");
    player.get("/me/ledger").await.expect(200);
    let drop_triggers = "drop trigger refuse on players; drop trigger refuse on silences";
    database.batch_execute(drop_triggers).await.expect("dropped");
    wait_for_readyz(&app, "ok", "ok").await;
    assert_eq!(player.click(1).await.expect(200).json["state"]["version"], 2);
    // The trial writes leave at most one row, which belongs to no instance.
    let sql =
        "select count(*) from silences where instance = '00000000-0000-0000-0000-000000000000'";
    let rows: i64 = database.query_one(sql, &[]).await.expect("a count").get(0);
    assert!(rows <= 1, "{rows} rows");
}

/// The server's trial writes succeed, but the writes of players fail.
#[tokio::test]
async fn a_successful_trial_write_does_not_hide_refused_writes_of_players() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    let only_players = FULL_DISK.replace(
        "create trigger refuse before insert or update on silences for each row execute function refuse();",
        "",
    );
    assert_ne!(only_players, FULL_DISK);
    database.batch_execute(&only_players).await.expect("a trigger");
    assert_unavailable(player.click(1).await);
    wait_for_readyz(&app, "degraded", "degraded").await;
    let trials = "select n_tup_ins + n_tup_upd from pg_stat_user_tables where relname = 'silences'";
    eventually("some trial writes have succeeded", async || {
        assert_unavailable(player.click(1).await);
        assert_eq!(readyz(&app).await, (json!("degraded"), json!("degraded")));
        let row = database.query_one(trials, &[]).await.expect("a count");
        (row.get::<_, i64>(0) >= 3).then_some(())
    })
    .await;
    database.batch_execute("drop trigger refuse on players").await.expect("dropped");
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
}

#[tokio::test]
async fn a_standby_is_reported_until_it_is_promoted() {
    let primary = OwnCluster::start(&[]).await;
    let standby = primary.standby().await;
    let proxy = Proxy::to(&primary.database()).await;
    let world = World::on(primary.database(), proxy.way(&primary.database()).into());
    let app = world.start().await;
    let player = app.client.guest().await;
    wait_for_readyz(&app, "ok", "ok").await;
    proxy.lead_to(&standby.database());
    drop(primary);
    wait_for_readyz(&app, "degraded", "read_only").await;
    let (database, connection) = standby.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    database.query_one("select pg_promote()", &[]).await.expect("promoted");
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
}

/// The URL of a database, for `DATABASE_URL`.
fn url(database: &tokio_postgres::Config) -> String {
    let [Host::Unix(sockets)] = database.get_hosts() else { panic!("a unix socket") };
    let sockets = sockets.display().to_string().replace('/', "%2F");
    let (user, name) = (database.get_user().expect("a user"), database.get_dbname());
    format!("postgres://{user}@{sockets}:{}/{}", database.get_ports()[0], name.expect("a name"))
}

/// Runs `idlewatt doctor` with a database. Returns whether it found no fault, and its output.
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
    let (is_ok, output) = doctor(&world.database);
    assert!(
        is_ok && output.contains("ok    writes") && output.contains("ok    connections"),
        "{output}"
    );
    let database = world.connect().await;
    set_read_only(&world, &database, true).await;
    let (is_ok, output) = doctor(&world.database);
    assert!(!is_ok && output.contains("FAULT writes"), "{output}");
    set_read_only(&world, &database, false).await;
    let role = "few_of_the_doctor";
    let sql = format!(
        "create role {role} login; grant create on schema public to {role};
         grant all on all tables in schema public to {role}"
    );
    database.batch_execute(&sql).await.expect("a role");
    let mut limited = world.database.clone();
    limited.user(role);
    for (limit, enough) in [(2, false), (3, true)] {
        let sql = format!("alter role {role} connection limit {limit}");
        database.batch_execute(&sql).await.expect("altered");
        let (is_ok, output) = doctor(&limited);
        assert_eq!(is_ok, enough, "{output}");
        assert_eq!(output.contains("FAULT connections"), !enough, "{output}");
        assert!(
            output.contains(&format!("connections: Postgres allows {limit} connections")),
            "{output}"
        );
    }
}

/// Other clients have opened all connections that Postgres allows, so the server has none to write with.
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
    // Repeats until all connections of the server are replaced by others.
    loop {
        while let Ok((client, connection)) = config.connect(NoTls).await {
            tokio::spawn(connection);
            others.push(client);
        }
        if administrator.query(end, &[]).await.expect("ended").is_empty() {
            break;
        }
    }
    wait_for_readyz(&app, "degraded", "down").await;
    assert_unavailable(player.click(1).await);
    drop(others);
    wait_for_readyz(&app, "ok", "ok").await;
    wait_until_writable(&player).await;
}
