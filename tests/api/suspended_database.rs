//! A suspended database: it takes seconds to wake, and has closed unused connections.

use std::time::Duration;

use serde_json::json;

use crate::support::books::eventually;
use crate::support::proxy::Proxy;
use crate::support::{TestApp, World};

/// As long as a suspended compute takes at worst.
const COLD_START: Duration = Duration::from_secs(5);

/// Reads that always ask the database.
const LEDGER: &str = "/me/ledger";

/// A database behind a proxy of the test's own.
async fn by_proxy() -> (World, Proxy) {
    let mut world = World::new().await;
    let proxy = Proxy::to(&world.database).await;
    world.endpoint = proxy.way(&world.database).into();
    (world, proxy)
}

#[tokio::test]
async fn a_cold_start_is_waited_for() {
    let (world, proxy) = by_proxy().await;
    proxy.fall_asleep(COLD_START);
    let app: TestApp = world.start().await;
    let player = app.client.guest().await;
    player.click(3).await.expect(200);
    // Whether the click that wakes it is waited for or refused, it is applied once.
    proxy.fall_asleep(COLD_START);
    let body = json!({ "clicks": 2 });
    let clicked = eventually("the database has woken", async || {
        let reply = player.post_keyed("/me/clicks", "waking", body.clone()).await;
        if reply.status == 503 {
            reply.expect_problem(503, "unavailable");
            return None;
        }
        Some(reply.expect(200))
    })
    .await;
    assert_eq!(clicked.json["accepted"], 2);
    let state = eventually("reading works", async || {
        Some(player.get("/me").await).filter(|reply| reply.status == 200)
    })
    .await;
    assert_eq!(state.json["version"], 2);
    assert_eq!(state.json["energy"], 5.0);
}

#[tokio::test]
async fn connections_that_were_closed_while_idle_cost_no_request() {
    let (world, proxy) = by_proxy().await;
    let app = world.start().await;
    let player = app.client.guest().await;
    player.click(1).await.expect(200);
    for _ in 0..5 {
        proxy.cut();
        // Until the server has noticed; a request in flight at that moment may be lost.
        eventually("the connections are gone", async || {
            (player.get(LEDGER).await.status == 200).then_some(())
        })
        .await;
        for _ in 0..8 {
            player.get(LEDGER).await.expect(200);
        }
    }
}

#[tokio::test]
async fn of_connections_that_died_without_a_word_one_is_waited_for_and_the_others_are_asked() {
    let (world, proxy) = by_proxy().await;
    let app = world.start_with(&[("DATABASE_POOL_SIZE", "5")]).await;
    let player = app.client.guest().await;
    // All connections are open and were used.
    let reads = (0..20).map(|_| player.get(LEDGER));
    for reply in futures_util::future::join_all(reads).await {
        reply.expect(200);
    }
    proxy.silence();
    let mut failed = 0;
    for _ in 0..8 {
        failed += u32::from(player.get(LEDGER).await.status == 503);
    }
    // A statement of the poller may be given up too.
    assert!((1..=2).contains(&failed), "{failed} of 8 reads failed with 5 dead connections");
}
