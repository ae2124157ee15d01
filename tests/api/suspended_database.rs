//! A hosting provider may suspend an unused database: its next start takes seconds, and its connections are closed.

use std::time::Duration;

use serde_json::json;

use crate::support::books::eventually;
use crate::support::proxy::Proxy;
use crate::support::{TestApp, World};

/// The longest start of a suspended database.
const COLD_START: Duration = Duration::from_secs(5);

/// A path whose reads always use the database.
const LEDGER: &str = "/me/ledger";

/// A database behind a proxy that the test controls.
async fn world_with_proxy() -> (World, Proxy) {
    let mut world = World::new().await;
    let proxy = Proxy::to(&world.database).await;
    world.endpoint = proxy.way(&world.database).into();
    (world, proxy)
}

#[tokio::test]
async fn requests_wait_for_a_database_that_is_starting() {
    let (world, proxy) = world_with_proxy().await;
    proxy.fall_asleep(COLD_START);
    let app: TestApp = world.start().await;
    let player = app.client.guest().await;
    player.click(3).await.expect(200);
    // The click that starts the database may be answered late or refused, but must be executed once.
    proxy.fall_asleep(COLD_START);
    let body = json!({ "clicks": 2 });
    let clicked = eventually("the database has started", async || {
        let reply = player.post_keyed("/me/clicks", "click", body.clone()).await;
        if reply.status == 503 {
            reply.expect_problem(503, "unavailable");
            return None;
        }
        Some(reply.expect(200))
    })
    .await;
    assert_eq!(clicked.json["accepted"], 2);
    let state = eventually("the state can be read", async || {
        Some(player.get("/me").await).filter(|reply| reply.status == 200)
    })
    .await;
    assert_eq!(state.json["version"], 2);
    assert_eq!(state.json["energy"], 5.0);
}

#[tokio::test]
async fn idle_connections_that_were_closed_make_no_request_fail() {
    let (world, proxy) = world_with_proxy().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    for _ in 0..5 {
        proxy.cut();
        // Requests may fail until the server has detected that its connections are closed.
        eventually("the server has detected the closed connections", async || {
            (player.get(LEDGER).await.status == 200).then_some(())
        })
        .await;
        for _ in 0..8 {
            player.get(LEDGER).await.expect(200);
        }
    }
}

#[tokio::test]
async fn after_one_timeout_the_server_checks_its_other_connections() {
    let (world, proxy) = world_with_proxy().await;
    let app = world.start_with(&[("DATABASE_POOL_SIZE", "5")]).await;
    let player = app.client.guest().await;
    // Concurrent reads, so that the server opens and uses all its connections.
    let reads = (0..20).map(|_| player.get(LEDGER));
    for reply in futures_util::future::join_all(reads).await {
        reply.expect(200);
    }
    proxy.silence();
    let mut failed = 0;
    for _ in 0..8 {
        failed += u32::from(player.get(LEDGER).await.status == 503);
    }
    // A second read may fail if a background task of the server is waiting at the same time.
    assert!((1..=2).contains(&failed), "{failed} of 8 reads failed with 5 dead connections");
}
