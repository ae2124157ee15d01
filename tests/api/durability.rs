//! Answered changes are durable, whatever the database's defaults are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use idlewatt::store::seed::SeedPlayer;
use serde_json::json;
use uuid::Uuid;

use crate::support::{PASSWORD, TestApp, World};

/// Records the setting `synchronous_commit` of each transaction that writes these tables.
const WITNESS: &str = "
    create table witness (written text not null, level text not null);
    create function watch() returns trigger language plpgsql as $$
    begin
        insert into witness values (tg_table_name, current_setting('synchronous_commit'));
        return null;
    end $$;
    do $$
    declare written text;
    begin
        foreach written in array array[
            'players', 'accounts', 'sessions', 'ledger', 'revocations', 'audit_log', 'jobs',
            'job_schedules', 'silences', 'catalogues', 'deleted_players'
        ] loop
            execute format(
                'create trigger watch after insert or update or delete on %I for each statement execute function watch()',
                written
            );
        end loop;
    end $$";

/// Makes that the default of new sessions.
async fn set_default(world: &World, database: &tokio_postgres::Client, level: &str) {
    let name = world.database.get_dbname().expect("a name");
    let sql = format!("alter database {name} set synchronous_commit = {level}");
    database.batch_execute(&sql).await.expect("altered");
}

/// Makes every kind of write, over connections of each of the server's pools.
async fn write_everything(app: &TestApp) {
    let player = app.client.guest().await;
    player.grant(500.0).await;
    player.click(3).await.expect(200);
    player.buy("hand_crank", json!(1)).await.expect(200);
    player.post_keyed("/me/clicks", "k", json!({ "clicks": 1 })).await.expect(200);
    let other = app.client.register("ada").await;
    let body = json!({ "username": "ada", "password": PASSWORD });
    app.client.call("POST", "/auth/login", "", Some(body)).await.expect(200);
    other.refreshed().await;
    for action in ["ban", "unban"] {
        let path = format!("/players/{}/{action}", other.id);
        app.client.admin("POST", &path, Some(json!({ "reason": "a test" }))).await.expect(204);
    }
    let mut items = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    for unknown in ["version", "effective_at"] {
        items.as_object_mut().expect("an object").remove(unknown);
    }
    app.client.admin("PUT", "/catalog", Some(items)).await.expect(200);
    other.client.call("DELETE", "/me", &other.token, None).await.expect(204);
    app.advance(5.0);
    player.click(1).await.expect(200);
    // As `idlewatt seed` does.
    let store = &app.server.store;
    let id = player.id.parse().expect("an id");
    let mut record = store.load_player(id).await.expect("loaded").expect("a row");
    record.id = Uuid::from_u128(7);
    let accrues_until = record.player.settled_at;
    let seeded = [SeedPlayer { record, energy_per_second: 0.0, accrues_until }];
    store.copy_players(&seeded, Duration::from_secs(30)).await.expect("copied");
    // The sweep, which has its own pool, settles an absent player.
    app.advance(3_600.0);
    assert!(app.run_jobs().await > 0, "jobs are due");
}

/// The settings with which the writes of each table were committed.
async fn levels(database: &tokio_postgres::Client) -> BTreeMap<String, BTreeSet<String>> {
    let mut levels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in database.query("select written, level from witness", &[]).await.expect("rows") {
        levels.entry(row.get(0)).or_default().insert(row.get(1));
    }
    levels
}

async fn assert_written_with(world: World, default: &str, expected: &str) {
    let database = world.connect().await;
    set_default(&world, &database, default).await;
    database.batch_execute(WITNESS).await.expect("triggers");
    let app = world.start().await;
    write_everything(&app).await;
    let levels = levels(&database).await;
    let tables = ["players", "accounts", "sessions", "ledger", "revocations", "audit_log", "jobs"];
    for table in tables.into_iter().chain(["job_schedules", "catalogues", "deleted_players"]) {
        let of_table = levels.get(table).unwrap_or_else(|| panic!("{table} was not written"));
        assert_eq!(of_table.iter().collect::<Vec<_>>(), [expected], "{table}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_write_is_durable_although_the_databases_default_is_not() {
    for weaker in ["off", "local", "remote_write"] {
        assert_written_with(World::new().await, weaker, "on").await;
    }
}

#[tokio::test]
async fn every_write_behind_a_pooler_is_durable_although_the_databases_default_is_not() {
    assert_written_with(World::behind_pooler().await, "off", "on").await;
}

#[tokio::test]
async fn a_stronger_default_of_the_database_is_kept() {
    assert_written_with(World::new().await, "remote_apply", "remote_apply").await;
    assert_written_with(World::behind_pooler().await, "remote_apply", "remote_apply").await;
}

/// Migrations have their own settings.
#[tokio::test]
async fn a_new_schema_is_durable_although_the_databases_default_is_not() {
    let world = World::empty().await;
    let database = world.connect().await;
    set_default(&world, &database, "off").await;
    let sql = "create table schema_migrations (
            number integer primary key, name text not null, checksum bytea not null,
            applied_at timestamptz not null default now(),
            level text not null default current_setting('synchronous_commit')
        )";
    database.batch_execute(sql).await.expect("a table");
    let app = world.start().await;
    let rows = database.query("select distinct level from schema_migrations", &[]).await;
    let levels: Vec<String> = rows.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(levels, ["on"]);
    app.stop().await;
}
