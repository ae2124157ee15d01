//! Requests that cross at the worst moment: the test locks the player's row, or stops the lane's statement at a gate,
//! waits until the server has reached that point, and then decides who continues first.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::books::eventually;
use crate::support::gate::{Gate, Holding};
use crate::support::{PASSWORD, Player, TestApp, World};

/// Begins a transaction that locks a player's row.
async fn hold(player: &Player, database: &Client) {
    let id: Uuid = player.id.parse().expect("an id");
    database.batch_execute("begin").await.expect("begun");
    let held = database.query("select from players where player_id = $1 for update", &[&id]).await;
    assert_eq!(held.expect("held").len(), 1);
}

/// Waits until that many statements of the server wait for a lock.
async fn until_waiting(database: &Client, number: usize) {
    let waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually("the statements wait for the row", async || {
        let waiting = database.query(waiting, &[]).await.expect("asked");
        (waiting.len() >= number).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deletion_whose_client_disconnected_is_rolled_back_and_holds_no_lock() {
    let app = TestApp::new().await;
    let (player, database) = (app.client.guest().await, app.world.connect().await);
    hold(&player, &database).await;
    let accounts = app.server.accounts.clone();
    let id = player.id.parse().expect("an id");
    let deletion = tokio::spawn(async move { accounts.delete_player(id, None).await.map(drop) });
    until_waiting(&database, 1).await;
    deletion.abort();
    assert!(deletion.await.expect_err("aborted").is_cancelled());
    database.batch_execute("rollback").await.expect("released");
    // A transaction that was left open would lock the row now, and the next user of its connection would write within
    // it.
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
async fn a_sign_in_with_the_old_password_during_a_change_has_no_valid_session() {
    let app = TestApp::new().await;
    let (ada, database) = (app.client.register("ada").await, app.world.connect().await);
    hold(&ada, &database).await;
    let client = app.client.clone();
    let login = tokio::spawn(async move { client.try_login("ada", PASSWORD).await });
    until_waiting(&database, 1).await;
    let changed = database.execute("update accounts set password_hash = 'another'", &[]).await;
    assert_eq!(changed.expect("changed"), 1);
    database.batch_execute("commit").await.expect("committed");
    login.await.expect("answered").expect_problem(401, "invalid_credentials");
    assert_eq!(ada.sessions().await.len(), 1, "only the one that was there");
}

#[tokio::test]
async fn keys_of_operators_and_of_players_are_separate() {
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

#[tokio::test]
async fn a_retry_at_another_instance_while_the_first_batch_is_in_flight_applies_once() {
    let world = World::new().await;
    let (a, b) = (world.start().await, world.start().await);
    let player = a.client.guest().await;
    // Both instances have the row in memory, so their next batches begin with the write.
    player.click(1).await.expect(200);
    player.at(&b).click(1).await.expect(200);
    player.click(1).await.expect(200);
    let gate = Gate::new(&world, Holding::Nothing).await;
    gate.close().await;
    let send = |player: Player| {
        tokio::spawn(async move {
            player.post_keyed("/me/clicks", "once", json!({ "clicks": 5 })).await
        })
    };
    let first = send(player.clone());
    gate.until_entered(1).await;
    // The client has stopped waiting, and the load balancer sends its repeat to another instance.
    let retry = send(player.at(&b));
    gate.until_entered(2).await;
    gate.open().await;
    let replies = [first.await.expect("answered"), retry.await.expect("answered")];
    let replayed = replies.iter().filter(|it| it.header("idempotency-replayed") == "true").count();
    for reply in &replies {
        assert_eq!((reply.status, &reply.json["accepted"]), (200, &json!(5)), "{}", reply.text);
        assert_eq!(reply.json["state"]["version"], 4);
    }
    assert_eq!(replayed, 1, "one applied it, the other heard of it");
}

#[tokio::test]
async fn a_ban_during_a_batch_stops_the_batch() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    let gate = Gate::new(&app.world, Holding::Nothing).await;
    gate.close().await;
    let clicking = player.clone();
    let click = tokio::spawn(async move { clicking.click(1).await });
    gate.until_entered(1).await;
    let id: Uuid = player.id.parse().expect("an id");
    let ban = "update players set banned_at = now(), revision = revision + 1 where player_id = $1";
    assert_eq!(gate.session.execute(ban, &[&id]).await.expect("banned"), 1);
    gate.open().await;
    click.await.expect("answered").expect_problem(403, "player_banned");
    let version = "select version from players where player_id = $1";
    let version = gate.session.query_one(version, &[&id]).await.expect("a row");
    assert_eq!(version.get::<_, i64>(0), 1, "nothing was applied");
}

#[tokio::test]
async fn a_batch_continues_from_a_row_that_was_settled_meanwhile() {
    let app = TestApp::new().await;
    let player = app.client.guest().await;
    player.grant(100.0).await;
    player.buy("hand_crank", json!(5)).await.expect(200);
    app.advance(30.0);
    let before = player.state().await["energy"].as_f64().expect("a number");
    let gate = Gate::new(&app.world, Holding::Nothing).await;
    gate.close().await;
    let clicking = player.clone();
    let click = tokio::spawn(async move { clicking.click(1).await });
    gate.until_entered(1).await;
    // As a sweep does: it settles the row and raises only the revision.
    let settle = "update players set energy = energy + energy_per_second * 30,
        lifetime_energy = lifetime_energy + energy_per_second * 30,
        unseen_energy = unseen_energy + energy_per_second * 30,
        settled_at = settled_at + interval '30 seconds', revision = revision + 1
    where player_id = $1";
    let id: Uuid = player.id.parse().expect("an id");
    assert_eq!(gate.session.execute(settle, &[&id]).await.expect("settled"), 1);
    gate.open().await;
    let clicked = click.await.expect("answered").expect(200);
    let energy = clicked.json["state"]["energy"].as_f64().expect("a number");
    assert!((energy - before - 1.0).abs() < 1e-9, "{before} and a click are not {energy}");
    assert!(app.metric("lane_conflicts_total") >= 1.0, "it was folded again");
}
