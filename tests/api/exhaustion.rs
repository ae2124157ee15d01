//! Exhausted resources: statements that time out, no free connection, or too many waiting mutations.

use std::cell::RefCell;
use std::iter::from_fn;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::outage::{assert_unavailable, insist};
use crate::support::books::{count, eventually, is_replay, revision};
use crate::support::own_cluster::OwnCluster;
use crate::support::{TestApp, World};

const CRANKS: &str = "/me/generators/hand_crank/purchase";

/// Makes every write of a player as slow as `weather` says.
const WEATHER: &str = "
    create table weather (slow boolean not null);
    insert into weather values (false);
    create function endure() returns trigger language plpgsql as $$
    begin
        while (select slow from weather) loop
            perform pg_sleep(0.01);
        end loop;
        return new;
    end $$;
    create trigger endure before update on players for each row execute function endure();";

/// And makes the session that wrote a player end any later statement after a tenth of a second.
const HASTE: &str = "
    create function hasten() returns trigger language plpgsql as $$
    begin
        perform set_config('statement_timeout', '100ms', false);
        return new;
    end $$;
    create trigger hasten before update on players for each row execute function hasten();";

async fn set_slow(database: &tokio_postgres::Client, slow: bool) {
    database.execute("update weather set slow = $1", &[&slow]).await.expect("the weather changes");
}

#[tokio::test]
async fn a_write_that_statement_timeout_ends_leaves_nothing_behind() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    player.grant(500.0).await;
    database.batch_execute(WEATHER).await.expect("a trigger");
    database.batch_execute(HASTE).await.expect("a trigger");
    // Each connection of the lane has written once.
    for _ in 0..6 {
        // A busy machine may need more than a tenth of a second for it.
        eventually("a click is in time", async || {
            (player.click(1).await.status == 200).then_some(())
        })
        .await;
    }
    let before = player.state().await;
    let written = revision(&database, &player).await;
    set_slow(&database, true).await;
    let purchase = json!({ "quantity": 1 });
    for key in ["a", "b", "c"] {
        assert_unavailable(player.post_keyed(CRANKS, key, purchase.clone()).await);
    }
    // Reads do not wait for writes.
    assert_eq!(player.state().await, before);
    let active = "select from pg_stat_activity where datname = current_database() \
        and state = 'active' and wait_event = 'PgSleep'";
    eventually("no statement is left", async || {
        database.query(active, &[]).await.expect("asked").is_empty().then_some(())
    })
    .await;
    assert_eq!(revision(&database, &player).await, written);
    set_slow(&database, false).await;
    let version = count(&before["version"]);
    for (key, version) in ["a", "b", "c"].into_iter().zip(version + 1..) {
        let bought = insist(&player, CRANKS, key, &purchase).await.expect(200);
        assert!(!is_replay(&bought), "what was ended was not half done");
        assert_eq!(bought.json["state"]["version"], version);
    }
    assert_eq!(player.assert_books_balance().await.len(), 4);
}

/// A statement that the server gave up may still be carried out. In both cases a repeat with the key returns the
/// outcome, and the change is made once.
#[tokio::test]
async fn a_write_that_timed_out_is_applied_at_most_once() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.guest().await;
    database.batch_execute(WEATHER).await.expect("a trigger");
    set_slow(&database, true).await;
    let body = json!({ "clicks": 3 });
    assert_unavailable(player.post_keyed("/me/clicks", "k", body.clone()).await);
    set_slow(&database, false).await;
    let clicked = insist(&player, "/me/clicks", "k", &body).await.expect(200);
    assert_eq!(clicked.json["accepted"], 3);
    // A statement that is this late would have to be folded again, and finds its key.
    let state = player.state_of_version(1).await;
    assert_eq!((&state["version"], &state["energy"]), (&json!(1), &json!(3.0)));
    player.click(1).await.expect(200);
    assert_eq!(player.state_of_version(2).await["energy"], 4.0);
}

#[tokio::test]
async fn a_request_that_gets_no_connection_is_refused_without_effect() {
    let world = World::new().await;
    let app = world.start().await;
    let (database, mut blocker) = (world.connect().await, world.connect().await);
    let block = blocker.transaction().await.expect("begun");
    block.batch_execute("lock table sessions in exclusive mode").await.expect("locked");
    let guest = || app.client.call("POST", "/auth/guest", "", Some(json!({})));
    let mut guests: FuturesUnordered<_> = (0..12).map(|_| guest()).collect();
    // They use all four connections, and the others wait for one.
    let first = guests.next().await.expect("a reply");
    assert_unavailable(first);
    block.rollback().await.expect("released");
    let (mut made, mut refused) = (0_i64, 1_i64);
    while let Some(reply) = guests.next().await {
        if reply.status == 201 {
            made += 1;
        } else {
            assert_unavailable(reply);
            refused += 1;
        }
    }
    assert_eq!(made + refused, 12);
    eventually("guests are let in again", async || (guest().await.status == 201).then_some(()))
        .await;
    made += 1;
    for table in ["players", "sessions"] {
        let sql = format!("select count(*) from {table}");
        let rows: i64 = database.query_one(&sql, &[]).await.expect("a count").get(0);
        assert_eq!(rows, made, "{table}");
    }
}

#[tokio::test]
async fn a_database_that_takes_no_more_connections_is_waited_for() {
    let cluster = OwnCluster::start(&["max_connections=24"]).await;
    let world = World::on(cluster.database(), cluster.database().into());
    let app = world.start().await;
    let player = app.client.guest().await;
    player.grant(500.0).await;
    let before = player.state().await;

    // Other clients take all connections, including those of the server.
    let others = RefCell::new(Vec::new());
    let mut config = cluster.database();
    config.application_name("others");
    let (administrator, connection) = config.connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
        where backend_type = 'client backend' and application_name <> 'others'";
    eventually("all connections are taken", async || {
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    others.borrow_mut().push(client);
                }
                Err(error) => {
                    assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{error}");
                    break;
                }
            }
        }
        administrator.query(end, &[]).await.expect("ended").is_empty().then_some(())
    })
    .await;
    let purchase = json!({ "quantity": 1 });
    for _ in 0..3 {
        assert_unavailable(player.post_keyed(CRANKS, "k", purchase.clone()).await);
        assert_unavailable(app.client.call("POST", "/auth/guest", "", Some(json!({}))).await);
    }
    assert_eq!(player.state().await, before, "what was read is still served");
    // Refusing a connection costs Postgres a process, so not every request may try to open one.
    let attempts = || cluster.log().matches("too many clients").count();
    let attempted = attempts();
    for _ in 0..200 {
        assert_unavailable(app.client.call("POST", "/auth/guest", "", Some(json!({}))).await);
    }
    let attempted = attempts() - attempted;
    assert!(attempted < 100, "{attempted} attempts");
    others.take();
    let bought = insist(&player, CRANKS, "k", &purchase).await.expect(200);
    assert!(!is_replay(&bought), "what was refused was not half done");
    eventually("guests are let in again", async || {
        let reply = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
        (reply.status == 201).then_some(())
    })
    .await;
    assert_eq!(player.assert_books_balance().await.len(), 2);
}

#[tokio::test]
async fn an_excess_mutation_is_refused_before_any_work() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let crowd: Vec<_> = from_fn(|| app.server.shedding.admit(Instant::now())).collect();
    let shed = app.metric("http_requests_shed_total");
    let calls = [
        ("POST", "/me/clicks", json!({ "clicks": 1 })),
        ("POST", CRANKS, json!({ "quantity": 1 })),
        ("PATCH", "/me", json!({ "display_name": "Eve" })),
    ];
    for (method, path, body) in calls {
        // Nothing of the request is checked, whether it is valid or not.
        for token in [player.token.as_str(), "no token"] {
            let reply = app.client.call(method, path, token, Some(body.clone())).await;
            assert_eq!(reply.header("connection"), "", "the connection is kept");
            assert_unavailable(reply);
        }
    }
    assert_eq!(app.metric("http_requests_shed_total"), shed + 6.0);
    // Calls that do not use the lanes are answered, and so are operators.
    player.get("/me").await.expect(200);
    app.client.guest().await;
    player.grant(5.0).await;
    for admission in crowd {
        app.server.shedding.release(admission);
    }
    assert_eq!(player.click(1).await.expect(200).json["state"]["energy"], 6.0);
}
