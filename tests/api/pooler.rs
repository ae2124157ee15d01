//! A server behind a connection pooler in transaction mode, in which another client may use a session after every
//! transaction.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::books::{count, eventually, number};
use crate::support::{TestApp, World};

/// A trigger on every write of a player that records the settings of the session.
const RECORD_SETTINGS: &str = "create table witness (name text, setting text);
    create function watch() returns trigger language plpgsql as $$
    begin
        insert into witness
        select name, current_setting(name) from unnest(array[
            'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'enable_hashjoin',
            'enable_mergejoin', 'enable_seqscan', 'plan_cache_mode', 'synchronous_commit'
        ]) as name;
        return null;
    end $$;
    create trigger watch after update on players for each row execute function watch()";

#[tokio::test]
async fn writes_use_their_settings_only_in_their_own_transactions() {
    let world = World::behind_pooler().await;
    let database = world.connect().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    database.batch_execute(RECORD_SETTINGS).await.expect("made");
    for _ in 0..3 {
        player.click(2).await.expect(200);
    }
    let sql = "select distinct name, setting from witness order by name";
    let rows = database.query(sql, &[]).await.expect("rows");
    let seen: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        seen,
        [
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_seqscan", "off"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("lock_timeout", "30ms"),
            ("plan_cache_mode", "force_generic_plan"),
            ("statement_timeout", "6s"),
            ("synchronous_commit", "on"),
        ]
    );
    // The next client that uses a session finds default settings and no prepared statements.
    let (next_client, connection) =
        world.endpoint.connection.connect(tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    let sql = "select current_setting('lock_timeout') || current_setting('enable_seqscan') \
        || (select count(*) from pg_prepared_statements)";
    for _ in 0..8 {
        let row = next_client.query_typed_one(sql, &[]).await.expect("a row");
        assert_eq!(row.get::<_, &str>(0), "0on0");
    }
}

/// The pooler has fewer sessions than all instances together would need if each kept its own.
#[tokio::test]
async fn instances_share_few_sessions_and_the_ledger_stays_exact() {
    let world = World::behind_pooler().await;
    let mut apps = Vec::new();
    for _ in 0..4 {
        apps.push(world.start().await);
    }
    let mut players = Vec::new();
    for _ in 0..6 {
        let player = apps[0].client.guest().await;
        player.grant(500.0).await;
        players.push(player);
    }
    join_all(players.iter().map(|player| async {
        for turn in 0..20 {
            let here = player.at(&apps[turn % apps.len()]);
            let key = turn.to_string();
            let body = json!({ "clicks": 1 });
            let first = here.post_keyed("/me/clicks", &key, body.clone()).await.expect(200);
            assert_eq!(first.json["accepted"], 1);
            if turn % 5 == 0 {
                here.buy("hand_crank", json!(1)).await.expect(200);
                here.post_keyed("/me/clicks", &key, body).await.expect(200);
            }
        }
    }))
    .await;
    for player in &players {
        // The first instance reads the others' writes within a second.
        let state = eventually("the last write is seen", async || {
            let state = player.state().await;
            (count(&state["version"]) == 1 + 20 + 4).then_some(state)
        })
        .await;
        assert!(number(&state["energy"]) < 520.0);
        player.assert_books_balance().await;
    }
    let sql = "select count(*) from pg_stat_activity where datname = current_database() \
        and pid <> pg_backend_pid() and backend_type = 'client backend'";
    let sessions: i64 = world.connect().await.query_one(sql, &[]).await.expect("a row").get(0);
    assert!(sessions <= 3 + 1, "{sessions} sessions");
}

#[tokio::test]
async fn waiting_for_a_locked_row_times_out() {
    let world = World::behind_pooler().await;
    let app = world.start().await;
    let mut blocker = world.connect().await;
    let held = app.client.guest().await;
    let block = blocker.transaction().await.expect("begun");
    let sql = "select from players where player_id = $1::text::uuid for no key update";
    block.query_one(sql, &[&held.id]).await.expect("the row");
    held.click(1).await.expect_problem(503, "unavailable");
    block.rollback().await.expect("rolled back");
    assert_eq!(held.click(1).await.expect(200).json["state"]["version"], 1);
}

#[tokio::test]
async fn instances_migrate_an_empty_database_concurrently() {
    let mut world = World::empty().await;
    let pooled = World::behind_pooler().await.endpoint;
    let mut connection = pooled.connection;
    connection.dbname(world.database.get_dbname().expect("a name"));
    world.endpoint = idlewatt::store::Endpoint { connection, ..pooled };
    let apps = join_all((0..3).map(|_| world.start())).await;
    let player = apps[0].client.guest().await;
    for app in &apps {
        player.at(app).click(1).await.expect(200);
    }
}

/// The pooler's sessions are closed, as by a restart of the database behind it.
#[tokio::test]
async fn play_continues_after_the_poolers_sessions_are_closed() {
    let world = World::behind_pooler().await;
    let app: TestApp = world.start().await;
    let player = app.client.guest().await;
    let database = world.connect().await;
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    for turn in 0..5 {
        database.execute(sql, &[]).await.expect("cut");
        let key = turn.to_string();
        eventually("a click is accepted", async || {
            let reply = player.post_keyed("/me/clicks", &key, json!({ "clicks": 1 })).await;
            (reply.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(count(&player.state().await["version"]), 5);
}
