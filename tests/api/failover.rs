//! The database's address moves to a standby, which takes no writes until it is promoted.

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
async fn a_standby_is_read_from_and_written_to_once_it_is_promoted() {
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
    // Stopped in order, it sends its standby all there is before it ends.
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
        // More often than there are connections, so that none is left that led to the primary.
        for _ in 0..6 {
            let token = if path == "/auth/guest" { "" } else { &player.token };
            assert_unavailable(player.client.call(method, path, token, body.clone()).await);
        }
    }
    assert_unavailable(player.post_keyed(CRANKS, "once", purchase.clone()).await);
    // From memory, and from the standby itself.
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
