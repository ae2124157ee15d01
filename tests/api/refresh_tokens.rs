//! Refresh tokens: each is valid for one successor.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::{Client, Player, TestApp, World};

async fn successor(client: &Client, refresh_token: &str) -> String {
    let reply = client.refresh(refresh_token).await.expect(200);
    reply.json["tokens"]["refresh_token"].as_str().expect("a token").to_owned()
}

async fn assert_revoked(client: &Client, player: &Player, present: &str) {
    assert!(!player.is_signed_in().await, "its access token holds");
    client.refresh(present).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn refreshing_gives_new_tokens_for_the_same_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    app.advance(600.0);
    let reply = app.client.refresh(&ada.refresh_token).await.expect(200);
    let tokens = &reply.json["tokens"];
    assert_eq!(reply.json.as_object().expect("an object").len(), 1, "{}", reply.text);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_ne!(tokens["refresh_token"], ada.refresh_token);
    assert_ne!(tokens["access_token"], ada.token);
    assert!(ada.is_signed_in().await, "the access token before holds until its end");
    let token = tokens["access_token"].as_str().expect("a token").to_owned();
    let refreshed = Player { token, ..ada.clone() };
    assert_eq!(refreshed.session(), ada.session());
    app.advance(600.0);
    assert!(refreshed.is_signed_in().await);
    let listed = refreshed.get("/auth/sessions").await.expect(200);
    assert_eq!(listed.json["entries"][0]["last_refreshed_at"], "2026-01-05T00:10:00.000Z");
}

#[tokio::test]
async fn a_repeat_within_half_a_minute_yields_the_same_successor() {
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
async fn a_repeat_after_half_a_minute_revokes_the_session_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let other = here.client.login("ada").await;
    let present = successor(&here.client, &ada.refresh_token).await;
    world.advance(31.0);
    here.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&here.client, &ada, &present).await;
    ada.at(&there).until_signed_out().await;
    assert!(other.is_signed_in().await, "other sessions go on");
}

#[tokio::test]
async fn a_repeat_after_the_successor_was_used_revokes_the_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let second = successor(&app.client, &ada.refresh_token).await;
    let third = successor(&app.client, &second).await;
    app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &third).await;
}

#[tokio::test]
async fn a_token_of_many_refreshes_ago_revokes_the_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let mut present = ada.refresh_token.clone();
    let mut seen = HashSet::from([present.clone()]);
    for _ in 0..10 {
        app.advance(60.0);
        present = successor(&app.client, &present).await;
        assert!(seen.insert(present.clone()), "a token came twice");
    }
    app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &present).await;
}

#[tokio::test]
async fn replays_that_race_are_one_answer() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let present = successor(&apps[0].client, &ada.refresh_token).await;
    world.advance(31.0);
    let racing = (0..12).map(|n| apps[n % 2].client.refresh(&ada.refresh_token));
    for reply in join_all(racing).await {
        reply.expect_problem(401, "unauthenticated");
    }
    for app in &apps {
        ada.at(app).until_signed_out().await;
        app.client.refresh(&present).await.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn refreshes_that_race_all_get_the_same_successor() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let racing = (0..12).map(|n| successor(&apps[n % 2].client, &ada.refresh_token));
    let successors: HashSet<String> = join_all(racing).await.into_iter().collect();
    assert_eq!(successors.len(), 1);
    assert!(ada.is_signed_in().await);
    for present in successors {
        successor(&apps[1].client, &present).await;
    }
}

#[tokio::test]
async fn made_up_tokens_revoke_nothing() {
    let app = TestApp::new().await;
    let (ada, eve) = (app.client.register("ada").await, app.client.guest().await);
    let present = successor(&app.client, &ada.refresh_token).await;
    app.advance(31.0);
    let bytes = |token: &str| URL_SAFE_NO_PAD.decode(token).expect("base64");
    let flipped = |token: &str, position: usize| {
        let mut bytes = bytes(token);
        bytes[position] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let mut made_up = vec![
        String::new(),
        "x".to_owned(),
        "A".repeat(91),
        ada.token.clone(),
        format!("{present} "),
        format!("{present}A"),
        present[..present.len() - 4].to_owned(),
        "é\0💡".to_owned(),
        "A".repeat(10_000),
    ];
    let last = bytes(&present).len() - 1;
    for token in [&ada.refresh_token, &present] {
        // A bit of the secret, and one of the ids.
        made_up.extend([flipped(token, last), flipped(token, last - 31), flipped(token, 15)]);
    }
    // The secret of one session with the ids of another.
    let mut crossed = bytes(&eve.refresh_token);
    crossed[..32].copy_from_slice(&bytes(&present)[..32]);
    made_up.push(URL_SAFE_NO_PAD.encode(crossed));
    for token in made_up {
        app.client.refresh(&token).await.expect_problem(401, "unauthenticated");
    }
    assert!(ada.is_signed_in().await && eve.is_signed_in().await);
    successor(&app.client, &present).await;
    successor(&app.client, &eve.refresh_token).await;
}

#[tokio::test]
async fn refreshing_goes_on_after_a_restart() {
    let world = World::new().await;
    let before = world.start().await;
    let ada = before.client.register("ada").await;
    let present = successor(&before.client, &ada.refresh_token).await;
    before.stop().await;
    let after = world.start().await;
    assert_eq!(successor(&after.client, &ada.refresh_token).await, present);
    successor(&after.client, &present).await;
}

#[tokio::test]
async fn a_banned_player_who_repeats_a_refresh_keeps_its_session_for_after_the_ban() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let present = successor(&app.client, &ada.refresh_token).await;
    let path = format!("/players/{}", ada.id);
    app.client.admin("POST", &format!("{path}/ban"), Some(json!({}))).await.expect(204);
    for token in [&ada.refresh_token, &present] {
        app.client.refresh(token).await.expect_problem(403, "player_banned");
    }
    app.client.admin("POST", &format!("{path}/unban"), Some(json!({}))).await.expect(204);
    successor(&app.client, &present).await;
}

/// A token of the same session and that generation, with a secret that was never issued.
fn made_up(token: &str, generation: u32) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
    bytes[32..36].copy_from_slice(&generation.to_be_bytes());
    bytes[36..].copy_from_slice(&rand::random::<[u8; 32]>());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes a session look as if it was refreshed `times` since its token was `token`.
async fn refresh_often(world: &World, token: &str, times: u32) {
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
        refresh_often(&world, &ada.refresh_token, times).await;
        app.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
        assert!(!ada.is_signed_in().await, "it was replaced {times} refreshes ago");
    }
}

#[tokio::test]
async fn checks_of_made_up_tokens_are_bounded_per_session() {
    let world = World::new().await;
    let app = world.start().await;
    let (ada, eve) = (app.client.guest().await, app.client.guest().await);
    for player in [&ada, &eve] {
        refresh_often(&world, &player.refresh_token, 10_000).await;
    }
    // Each check takes ten thousand steps and finds that the token is forged.
    for _ in 0..2 {
        let made_up = made_up(&ada.refresh_token, 0);
        app.client.refresh(&made_up).await.expect_problem(401, "unauthenticated");
        assert!(ada.is_signed_in().await);
    }
    let more = made_up(&ada.refresh_token, 0);
    app.client.refresh(&more).await.expect_problem(401, "unauthenticated");
    assert!(!ada.is_signed_in().await, "the allowance is spent");
    // Concurrent calls do not get a larger allowance, and other sessions are not affected.
    assert!(eve.is_signed_in().await);
    let racing: Vec<_> = (0..12).map(|_| made_up(&eve.refresh_token, 0)).collect();
    let racing = racing.iter().map(|token| app.client.refresh(token));
    for reply in join_all(racing).await {
        reply.expect_problem(401, "unauthenticated");
    }
    assert!(!eve.is_signed_in().await);
}

#[tokio::test]
async fn made_up_tokens_that_are_cheap_to_check_end_no_session() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let present = successor(&app.client, &ada.refresh_token).await;
    for _ in 0..100 {
        let made_up = made_up(&present, 0);
        app.client.refresh(&made_up).await.expect_problem(401, "unauthenticated");
    }
    assert!(ada.is_signed_in().await);
    successor(&app.client, &present).await;
}

/// The rule for two tabs applies to a thief too: see `Accounts::refresh`.
#[tokio::test]
async fn two_holders_are_detected_as_soon_as_one_is_late() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let mut token = ada.refresh_token.clone();
    for _ in 0..3 {
        app.advance(600.0);
        let owner = successor(&app.client, &token).await;
        app.advance(29.0);
        assert_eq!(successor(&app.client, &token).await, owner, "the other holder gets the same");
        token = owner;
    }
    let present = successor(&app.client, &token).await;
    app.advance(31.0);
    app.client.refresh(&token).await.expect_problem(401, "unauthenticated");
    assert_revoked(&app.client, &ada, &present).await;
}
