//! The database becomes unavailable or refuses writes, and recovers.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::books::{count, eventually, is_replay, number};
use crate::support::{Player, Reply, World};

const CRANKS: &str = "/me/generators/hand_crank/purchase";

/// Closes all connections to the database except this one.
async fn close_connections(database: &tokio_postgres::Client) {
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
        where datname = current_database() and pid <> pg_backend_pid()";
    database.execute(sql, &[]).await.expect("closed");
}

/// Asserts that an answer is 503 with `Retry-After`, and contains no internal details.
#[track_caller]
pub fn assert_unavailable(reply: Reply) {
    let reply = reply.expect_problem(503, "unavailable");
    let seconds: u32 = reply.header("retry-after").parse().expect("whole seconds");
    assert!(seconds >= 1);
    for internal in ["postgres", "sql", "connection", "terminating", "127.0.0.1", "read-only"] {
        assert!(!reply.text.to_lowercase().contains(internal), "{}", reply.text);
    }
}

/// Repeats a request with the same idempotency key until it gets a result, as a client would.
pub async fn insist(player: &Player, path: &str, key: &str, body: &Value) -> Reply {
    eventually("the database is back", async || {
        let reply = player.post_keyed(path, key, body.clone()).await;
        if reply.status == 503 {
            assert_unavailable(reply);
            // The other tasks of the test must run too.
            tokio::task::yield_now().await;
            return None;
        }
        assert!([200, 409].contains(&reply.status), "{} {}", reply.status, reply.text);
        Some(reply)
    })
    .await
}

#[tokio::test]
async fn play_continues_and_the_ledger_stays_exact_after_connections_are_closed() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let mut players = Vec::new();
    for _ in 0..8 {
        let player = app.client.guest().await;
        player.grant(500.0).await;
        players.push(player);
    }
    let play = join_all(players.iter().map(|player| async move {
        let (mut applied, mut spent, mut accepted) = (1, 0.0, 0.0);
        for turn in 0..30 {
            let key = turn.to_string();
            let reply = if turn % 3 == 0 {
                insist(player, CRANKS, &key, &json!({ "quantity": 1 })).await
            } else {
                insist(player, "/me/clicks", &key, &json!({ "clicks": 2 })).await
            };
            applied += u64::from(reply.status == 200);
            spent += reply.json["spent"].as_f64().unwrap_or(0.0);
            accepted += reply.json["accepted"].as_f64().unwrap_or(0.0);
            let read = player.get("/me").await;
            if read.status != 200 {
                assert_unavailable(read);
            }
        }
        (applied, spent, accepted)
    }));
    let committed = &app.server.metrics.committed_commands;
    let cuts = async {
        for commands in [20, 60, 100, 150, 200] {
            eventually("play is under way", async || (committed.get() >= commands).then_some(()))
                .await;
            close_connections(&database).await;
        }
    };
    let (results, ()) = tokio::join!(play, cuts);
    for (player, (applied, spent, accepted)) in players.iter().zip(results) {
        let state = eventually("the database is back", async || {
            Some(player.get("/me").await).filter(|reply| reply.status == 200)
        })
        .await
        .json;
        assert_eq!(count(&state["version"]), applied);
        assert!((number(&state["energy"]) - (500.0 + accepted - spent)).abs() < 1e-6);
        player.assert_books_balance().await;
    }
}

/// Makes the database refuse or accept writes in sessions that begin later.
async fn set_read_only(database: &tokio_postgres::Client, read_only: bool) {
    let name: String =
        database.query_one("select current_database()::text", &[]).await.expect("a name").get(0);
    let action = if read_only { "set default_transaction_read_only = on" } else { "reset all" };
    database.batch_execute(&format!("alter database {name} {action}")).await.expect("altered");
}

/// Waits until reading works again.
async fn wait_until_readable(player: &Player) {
    eventually("reads are answered", async || {
        (player.get("/me").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_read_only_database_refuses_writes_and_the_server_recovers_by_itself() {
    let world = World::new().await;
    let app = world.start().await;
    let database = world.connect().await;
    let player = app.client.register("ada").await;
    player.grant(500.0).await;
    player.buy("hand_crank", json!(3)).await.expect(200);
    let before = player.state().await;
    set_read_only(&database, true).await;
    close_connections(&database).await;
    wait_until_readable(&player).await;
    let click = json!({ "clicks": 1 });
    let actions = json!({ "actions": [{ "type": "click", "clicks": 1 }] });
    let login = json!({ "username": "ada", "password": "correct horse" });
    let refresh = json!({ "refresh_token": player.refresh_token });
    let calls = [
        ("POST", "/me/clicks", click.clone()),
        ("POST", CRANKS, json!({ "quantity": 1 })),
        ("POST", "/me/actions", actions),
        ("PATCH", "/me", json!({ "display_name": "Eve" })),
        ("DELETE", "/me", Value::Null),
        ("POST", "/auth/guest", json!({})),
        ("POST", "/auth/login", login),
        ("POST", "/auth/refresh", refresh),
        ("POST", "/auth/logout", Value::Null),
        ("DELETE", "/auth/sessions", Value::Null),
    ];
    for (method, path, body) in calls {
        let body = Some(body).filter(|body| !body.is_null());
        // Several calls, because one connection of each pool may still be a closed one.
        for _ in 0..6 {
            let token = if path == "/auth/guest" { "" } else { &player.token };
            assert_unavailable(player.client.call(method, path, token, body.clone()).await);
        }
    }
    app.advance(120.0);
    for path in ["/me", "/me/ledger", "/me/export", "/auth/sessions", "/catalog"] {
        player.get(path).await.expect(200);
    }
    assert_unavailable(player.post_keyed("/me/clicks", "k", click.clone()).await);
    set_read_only(&database, false).await;
    if world.endpoint.pooled {
        // The pooler's sessions have been read-only since their beginning, so they must be closed too.
        close_connections(&database).await;
    }
    let clicked = insist(&player, "/me/clicks", "k", &click).await.expect(200);
    assert!(!is_replay(&clicked), "the refused call was executed");
    let version = count(&before["version"]) + 1;
    assert_eq!(clicked.json["state"]["version"], version);
    assert_eq!(clicked.json["state"]["display_name"], before["display_name"]);
    eventually("every connection can write", async || {
        for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
            if player.post_keyed("/me/clicks", key, click.clone()).await.status != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
    player.assert_books_balance().await;
}
