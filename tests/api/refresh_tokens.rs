//! Refresh tokens: each can be exchanged once, for the next one, and its reuse ends the session.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::{Client, Player, TestApp, World};

/// Exchanges a refresh token and returns the next one.
async fn successor(client: &Client, refresh_token: &str) -> String {
    let reply = client.refresh(refresh_token).await.expect(200);
    reply.json["tokens"]["refresh_token"].as_str().expect("a token").to_owned()
}

async fn assert_revoked(client: &Client, player: &Player, newest_token: &str) {
    assert!(!player.is_signed_in().await, "the access token is accepted");
    client.refresh(newest_token).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_refresh_issues_new_tokens_for_the_same_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    app.advance(600.0);
    let reply = app.client.refresh(&ada.refresh_token).await.expect(200);
    let tokens = &reply.json["tokens"];
    assert_eq!(reply.json.as_object().expect("an object").len(), 1, "{}", reply.text);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_ne!(tokens["refresh_token"], ada.refresh_token);
    assert_ne!(tokens["access_token"], ada.token);
    assert!(ada.is_signed_in().await, "the previous access token is valid until it expires");
    let token = tokens["access_token"].as_str().expect("a token").to_owned();
    let refreshed = Player { token, ..ada.clone() };
    assert_eq!(refreshed.session(), ada.session());
    app.advance(600.0);
    assert!(refreshed.is_signed_in().await);
    let listed = refreshed.get("/auth/sessions").await.expect(200);
    assert_eq!(listed.json["entries"][0]["last_refreshed_at"], "2026-01-05T00:10:00.000Z");
}

#[tokio::test]
async fn a_repeat_within_half_a_minute_returns_the_same_token() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let first = successor(&here.client, &ada.refresh_token).await;
    for client in [&here.client, &there.client] {
        assert_eq!(successor(client, &ada.refresh_token).await, first);
        world.advance(14.0);
    }
    assert_eq!(successor(&here.client, &ada.refresh_token).await, first);
    assert!(ada.is_signed_in().await);
    successor(&there.client, &first).await;
}

#[tokio::test]
async fn a_repeated_refresh_after_thirty_seconds_revokes_the_session_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let other = here.client.login("ada").await;
    let newest = successor(&here.client, &ada.refresh_token).await;
    world.advance(31.0);
    here.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&here.client, &ada, &newest).await;
    ada.at(&there).until_signed_out().await;
    assert!(other.is_signed_in().await, "other sessions continue");
}

#[tokio::test]
async fn a_repeated_refresh_after_the_successor_was_used_revokes_the_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let second = successor(&app.client, &ada.refresh_token).await;
    let third = successor(&app.client, &second).await;
    app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &third).await;
}

#[tokio::test]
async fn reusing_a_token_after_many_refreshes_revokes_the_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let mut newest = ada.refresh_token.clone();
    let mut seen = HashSet::from([newest.clone()]);
    for _ in 0..10 {
        app.advance(60.0);
        newest = successor(&app.client, &newest).await;
        assert!(seen.insert(newest.clone()), "a token was issued twice");
    }
    app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &newest).await;
}

#[tokio::test]
async fn concurrent_reuses_all_get_the_same_refusal() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let newest = successor(&apps[0].client, &ada.refresh_token).await;
    world.advance(31.0);
    let concurrent = (0..12).map(|n| apps[n % 2].client.refresh(&ada.refresh_token));
    for reply in join_all(concurrent).await {
        reply.expect_problem(401, "unauthenticated");
    }
    for app in &apps {
        ada.at(app).until_signed_out().await;
        app.client.refresh(&newest).await.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn concurrent_refreshes_all_get_the_same_token() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let concurrent = (0..12).map(|n| successor(&apps[n % 2].client, &ada.refresh_token));
    let successors: HashSet<String> = join_all(concurrent).await.into_iter().collect();
    assert_eq!(successors.len(), 1);
    assert!(ada.is_signed_in().await);
    for newest in successors {
        successor(&apps[1].client, &newest).await;
    }
}

#[tokio::test]
async fn forged_tokens_revoke_no_session() {
    let app = TestApp::new().await;
    let (ada, eve) = (app.client.register("ada").await, app.client.guest().await);
    let newest = successor(&app.client, &ada.refresh_token).await;
    app.advance(31.0);
    let bytes = |token: &str| URL_SAFE_NO_PAD.decode(token).expect("base64");
    let flipped = |token: &str, position: usize| {
        let mut bytes = bytes(token);
        bytes[position] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let mut forged = vec![
        String::new(),
        "x".to_owned(),
        "A".repeat(91),
        ada.token.clone(),
        format!("{newest} "),
        format!("{newest}A"),
        newest[..newest.len() - 4].to_owned(),
        "é\0💡".to_owned(),
        "A".repeat(10_000),
    ];
    let last = bytes(&newest).len() - 1;
    for token in [&ada.refresh_token, &newest] {
        // One bit of the secret or of the ids is changed.
        forged.extend([flipped(token, last), flipped(token, last - 31), flipped(token, 15)]);
    }
    // A token with the ids of one session and the secret of another.
    let mut crossed = bytes(&eve.refresh_token);
    crossed[..32].copy_from_slice(&bytes(&newest)[..32]);
    forged.push(URL_SAFE_NO_PAD.encode(crossed));
    for token in forged {
        app.client.refresh(&token).await.expect_problem(401, "unauthenticated");
    }
    assert!(ada.is_signed_in().await && eve.is_signed_in().await);
    successor(&app.client, &newest).await;
    successor(&app.client, &eve.refresh_token).await;
}

#[tokio::test]
async fn refreshing_continues_after_a_restart() {
    let world = World::new().await;
    let before = world.start().await;
    let ada = before.client.register("ada").await;
    let newest = successor(&before.client, &ada.refresh_token).await;
    before.stop().await;
    let after = world.start().await;
    assert_eq!(successor(&after.client, &ada.refresh_token).await, newest);
    successor(&after.client, &newest).await;
}

#[tokio::test]
async fn a_repeated_refresh_during_a_ban_does_not_revoke_the_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let newest = successor(&app.client, &ada.refresh_token).await;
    let path = format!("/players/{}", ada.id);
    app.client.admin("POST", &format!("{path}/ban"), Some(json!({}))).await.expect(204);
    for token in [&ada.refresh_token, &newest] {
        app.client.refresh(token).await.expect_problem(403, "player_banned");
    }
    app.client.admin("POST", &format!("{path}/unban"), Some(json!({}))).await.expect(204);
    successor(&app.client, &newest).await;
}

/// A token of the same session and the given generation, with a secret that was never issued.
fn forged_token(token: &str, generation: u32) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
    bytes[32..36].copy_from_slice(&generation.to_be_bytes());
    bytes[36..].copy_from_slice(&rand::random::<[u8; 32]>());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Changes a session in the database as if it had been refreshed `times` times since `token` was its token.
async fn simulate_refreshes(world: &World, token: &str, times: u32) {
    let bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
    let session = Uuid::from_slice(&bytes[16..32]).expect("an id");
    let database = world.connect().await;
    let find = "select chain_key, generation from sessions where session_id = $1";
    let row = database.query_one(find, &[&session]).await.expect("a session");
    let (key, generation): (Vec<u8>, i32) = (row.get(0), row.get(1));
    let mut secret = bytes[36..].to_vec();
    for _ in 0..times {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(&secret);
        secret = mac.finalize().into_bytes().to_vec();
    }
    let generation = generation + times.cast_signed();
    let hash = Sha256::digest(&secret).to_vec();
    let sql = "update sessions set refresh_hash = $2, generation = $3 where session_id = $1";
    database.execute(sql, &[&session, &hash, &generation]).await.expect("written");
}

#[tokio::test]
async fn a_replaced_token_is_recognised_after_any_number_of_refreshes() {
    let world = World::new().await;
    let app = world.start().await;
    for times in [2, 64, 65, 1_000, 20_000, 20_001, 30_000] {
        let ada = app.client.guest().await;
        simulate_refreshes(&world, &ada.refresh_token, times).await;
        app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
        assert!(!ada.is_signed_in().await, "it was replaced {times} refreshes ago");
    }
}

#[tokio::test]
async fn expensive_checks_of_forged_tokens_are_limited_per_session() {
    let world = World::new().await;
    let app = world.start().await;
    let (ada, eve) = (app.client.guest().await, app.client.guest().await);
    for player in [&ada, &eve] {
        simulate_refreshes(&world, &player.refresh_token, 10_000).await;
    }
    // Each check calculates ten thousand successors before it finds that the token is forged.
    for _ in 0..2 {
        let forged = forged_token(&ada.refresh_token, 0);
        app.client.refresh(&forged).await.expect_problem(401, "unauthenticated");
        assert!(ada.is_signed_in().await);
    }
    let more = forged_token(&ada.refresh_token, 0);
    app.client.refresh(&more).await.expect_problem(401, "unauthenticated");
    assert!(
        !ada.is_signed_in().await,
        "the session is accepted after its allowance of checks is used up"
    );
    // Concurrent calls do not get a larger allowance, and other sessions are not affected.
    assert!(eve.is_signed_in().await);
    let concurrent: Vec<_> = (0..12).map(|_| forged_token(&eve.refresh_token, 0)).collect();
    let concurrent = concurrent.iter().map(|token| app.client.refresh(token));
    for reply in join_all(concurrent).await {
        reply.expect_problem(401, "unauthenticated");
    }
    assert!(!eve.is_signed_in().await);
}

#[tokio::test]
async fn forged_tokens_that_are_cheap_to_check_revoke_no_session() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let newest = successor(&app.client, &ada.refresh_token).await;
    for _ in 0..100 {
        let forged = forged_token(&newest, 0);
        app.client.refresh(&forged).await.expect_problem(401, "unauthenticated");
    }
    assert!(ada.is_signed_in().await);
    successor(&app.client, &newest).await;
}

/// A repeated refresh within 30 seconds gets the same token, because two tabs may refresh at the same time. A thief of
/// the token gets it too, until one of them is later than that: see `Accounts::refresh`.
#[tokio::test]
async fn a_stolen_token_is_detected_when_one_holder_refreshes_late() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut token = ada.refresh_token.clone();
    for _ in 0..3 {
        app.advance(600.0);
        let owner = successor(&app.client, &token).await;
        app.advance(29.0);
        assert_eq!(successor(&app.client, &token).await, owner, "both holders get the same token");
        token = owner;
    }
    let newest = successor(&app.client, &token).await;
    app.advance(31.0);
    app.client.refresh(&token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &newest).await;
}
