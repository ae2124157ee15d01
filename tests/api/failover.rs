//! The database's address moves to a standby, which refuses writes until it is promoted.

use idlewatt::store::{Store, StoreOptions};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::outage::{assert_unavailable, insist};
use crate::support::World;
use crate::support::books::{count, eventually, is_replay};
use crate::support::own_cluster::OwnCluster;
use crate::support::proxy::Proxy;

const CRANKS: &str = "/me/generators/hand_crank/purchase";

#[tokio::test]
async fn a_promoted_standby_is_used() {
    let primary = OwnCluster::start(&[]).await;
    let standby = primary.standby().await;
    let proxy = Proxy::to(&primary.database()).await;
    let world = World::on(primary.database(), proxy.way(&primary.database()).into());
    let app = world.start().await;
    let player = app.client.guest().await;
    player.grant(500.0).await;
    player.buy("hand_crank", json!(3)).await.expect(200);
    let (before, ledger) = (player.state().await, player.ledger().await);
    proxy.lead_to(&standby.database());
    // A primary that is stopped in order sends everything to its standby before it ends.
    drop(primary);

    let (database, connection) = standby.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    let recovering = "select pg_is_in_recovery()";
    assert!(database.query_one(recovering, &[]).await.expect("asked").get::<_, bool>(0));
    let purchase = json!({ "quantity": 1 });
    let actions = json!({ "actions": [{ "type": "click", "clicks": 1 }] });
    let writes = [
        ("POST", "/me/clicks", json!({ "clicks": 1 })),
        ("POST", CRANKS, purchase.clone()),
        ("POST", "/me/actions", actions),
        ("PATCH", "/me", json!({ "display_name": "Eve" })),
        ("DELETE", "/me", Value::Null),
        ("POST", "/auth/guest", json!({})),
    ];
    for (method, path, body) in writes {
        let body = Some(body).filter(|body| !body.is_null());
        // More requests than there are connections, so that no connection to the primary is left.
        for _ in 0..6 {
            let token = if path == "/auth/guest" { "" } else { &player.token };
            assert_unavailable(player.client.call(method, path, token, body.clone()).await);
        }
    }
    assert_unavailable(player.post_keyed(CRANKS, "once", purchase.clone()).await);
    // From memory, and from the standby.
    assert_eq!(player.state().await, before);
    eventually("the standby is read from", async || {
        (player.get("/me/ledger").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(player.ledger().await, ledger);
    player.get("/me/export").await.expect(200);
    assert_starting_waits(&standby).await;

    let promoted = database.query_one("select pg_promote()", &[]).await.expect("asked");
    assert!(promoted.get::<_, bool>(0));
    let bought = insist(&player, CRANKS, "once", &purchase).await.expect(200);
    assert!(!is_replay(&bought), "what was refused was not half done");
    assert_eq!(bought.json["state"]["version"], count(&before["version"]) + 1);
    assert_eq!(bought.json["state"]["display_name"], before["display_name"]);
    eventually("every connection writes again", async || {
        for _ in 0..6 {
            if app.client.call("POST", "/auth/guest", "", Some(json!({}))).await.status != 201 {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert_eq!(player.assert_books_balance().await.len(), ledger.len() + 1);
    eventually("it is another epoch", async || {
        (player.state().await["epoch"] != before["epoch"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn changes_that_a_promoted_standby_lacks_are_not_served() {
    let primary = OwnCluster::start(&[]).await;
    let standby = primary.standby().await;
    let proxy = Proxy::to(&primary.database()).await;
    let world = World::on(primary.database(), proxy.way(&primary.database()).into());
    let (a, b) = (world.start().await, world.start().await);
    let player = a.client.guest().await;
    player.click(1).await.expect(200);
    let kept = player.state().await;

    let (database, connection) = standby.database().connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    eventually("the standby has it", async || {
        let sql = "select version from players where player_id = $1::text::uuid";
        let row = database.query_opt(sql, &[&player.id]).await.expect("asked")?;
        (row.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    database.batch_execute("alter system set primary_conninfo = ''").await.expect("set");
    database.batch_execute("select pg_reload_conf()").await.expect("reloaded");
    eventually("it follows nobody", async || {
        let sql = "select from pg_stat_wal_receiver";
        database.query(sql, &[]).await.expect("asked").is_empty().then_some(())
    })
    .await;
    for _ in 0..4 {
        player.click(1).await.expect(200);
    }
    let lost = player.state().await;
    player.at(&b).state().await;
    proxy.lead_to(&standby.database());
    drop(primary);
    let promoted = database.query_one("select pg_promote()", &[]).await.expect("asked");
    assert!(promoted.get::<_, bool>(0));

    for app in [&a, &b] {
        let there = player.at(app);
        let state = eventually("it is another epoch", async || {
            let state = there.state().await;
            (state["epoch"] != lost["epoch"]).then_some(state)
        })
        .await;
        assert_eq!((&state["version"], &state["energy"]), (&kept["version"], &kept["energy"]));
    }
    let clicked = eventually("it is written to", async || {
        let reply = player.at(&b).click(1).await;
        (reply.status == 200).then_some(reply.json)
    })
    .await;
    assert_eq!(clicked["state"]["version"], count(&kept["version"]) + 1);
}

/// A server that starts beside a standby waits for it to be promoted.
async fn assert_starting_waits(standby: &OwnCluster) {
    let limit = std::time::Duration::from_secs(10);
    let store = Store::new(StoreOptions {
        endpoint: standby.database().into(),
        pool_size: 1,
        pool_timeout: limit,
        connect_timeout: limit,
        statement_timeout: limit,
    });
    let error = store.expect("a pool").migrate().await.expect_err("it takes no writes");
    assert!(error.is_passing(), "{error}");
}
