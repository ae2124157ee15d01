//! Requests that cross each other at the worst moment: the test holds the player's row, waits until the server stands
//! before it, and then decides who goes first.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::books::eventually;
use crate::support::{PASSWORD, Player, TestApp};

/// Begins a transaction that holds a player's row.
async fn hold(player: &Player, database: &Client) {
    let id: Uuid = player.id.parse().expect("an id");
    database.batch_execute("begin").await.expect("begun");
    let held = database.query("select from players where player_id = $1 for update", &[&id]).await;
    assert_eq!(held.expect("held").len(), 1);
}

/// Waits until some statement of the server stands before a lock.
async fn until_somebody_waits(database: &Client) {
    let waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("a statement waits for the row", async || {
        let waiting = database.query(waiting, &[]).await.expect("asked");
        (!waiting.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deletion_whose_caller_hung_up_is_undone_and_holds_nothing() {
    let app = TestApp::new().await;
    let (player, database) = (app.client.guest().await, app.world.connect().await);
    hold(&player, &database).await;
    let accounts = app.server.accounts.clone();
    let id = player.id.parse().expect("an id");
    let deletion = tokio::spawn(async move { accounts.delete_player(id, None).await.map(drop) });
    until_somebody_waits(&database).await;
    deletion.abort();
    assert!(deletion.await.expect_err("aborted").is_cancelled());
    database.batch_execute("rollback").await.expect("released");
    // A transaction left open would hold the row now, and whoever gets its connection next would write into it.
    eventually("the player plays on", async || {
        let reply = player.click(1).await;
        assert!([200, 503].contains(&reply.status), "{}", reply.text);
        (reply.status == 200).then_some(())
    })
    .await;
    let open = "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'";
    assert!(database.query(open, &[]).await.expect("asked").is_empty());
}

#[tokio::test]
async fn a_row_that_somebody_holds_stops_nobody_elses_play() {
    let app = TestApp::new().await;
    let (held, free) = (app.client.guest().await, app.client.guest().await);
    let database = app.world.connect().await;
    // Both are known to the lane, so that its next batch begins with the write.
    held.click(1).await.expect(200);
    free.click(1).await.expect(200);
    hold(&held, &database).await;
    let (stopped, going) = tokio::join!(held.click(1), free.click(1));
    stopped.expect_problem(503, "unavailable");
    going.expect(200);
    database.batch_execute("rollback").await.expect("released");
    assert_eq!(held.click(1).await.expect(200).json["state"]["version"], 2, "nothing was applied");
}

#[tokio::test]
async fn a_sign_in_with_a_password_that_is_being_changed_does_not_survive_the_change() {
    let app = TestApp::new().await;
    let (ada, database) = (app.client.register("ada").await, app.world.connect().await);
    hold(&ada, &database).await;
    let client = app.client.clone();
    let login = tokio::spawn(async move { client.try_login("ada", PASSWORD).await });
    until_somebody_waits(&database).await;
    let changed = database.execute("update accounts set password_hash = 'another'", &[]).await;
    assert_eq!(changed.expect("changed"), 1);
    database.batch_execute("commit").await.expect("committed");
    login.await.expect("answered").expect_problem(401, "invalid_credentials");
    assert_eq!(ada.sessions().await.len(), 1, "only the one that was there");
}

#[tokio::test]
async fn an_operators_key_is_no_key_of_the_player() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    let path = format!("/api/v1/admin/players/{}/grant", player.id);
    let grant = || {
        app.client
            .request("POST", &path)
            .bearer_auth(crate::support::ADMIN_TOKEN)
            .header("Idempotency-Key", "1")
            .json(&json!({ "energy": 10, "reason": "sorry" }))
    };
    app.client.send(grant()).await.expect(200);
    player.post_keyed("/me/clicks", "1", json!({ "clicks": 1 })).await.expect(200);
    let repeated = app.client.send(grant()).await.expect(200);
    assert_eq!(repeated.header("idempotency-replayed"), "true");
    assert_eq!(player.state().await["energy"], 11.0);
}
