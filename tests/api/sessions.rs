//! Sessions: listing and ending them, and which sessions continue when one ends.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{PASSWORD, TestApp, World};

#[tokio::test]
async fn a_player_can_list_its_sessions_newest_first_with_the_current_one_marked() {
    let app = TestApp::new().await;
    let first = app.client.register("ada").await;
    app.client.register("eve").await;
    app.advance(60.0);
    let body = json!({ "username": "ada", "password": PASSWORD });
    let login = app.client.request("POST", "/api/v1/auth/login").json(&body);
    app.client.send(login.header("User-Agent", "a phone")).await.expect(200);
    let listed = first.get("/auth/sessions").await.expect(200);
    assert_eq!(listed.json["next_cursor"], json!(null));
    let [second, own] = &listed.json["entries"].as_array().expect("a list")[..] else {
        panic!("{}", listed.text)
    };
    assert_eq!((&own["id"], &own["current"]), (&json!(first.session()), &json!(true)));
    assert_eq!((&second["user_agent"], &second["current"]), (&json!("a phone"), &json!(false)));
    assert_eq!(own["created_at"], "2026-01-05T00:00:00.000Z");
    assert_eq!(second["created_at"], "2026-01-05T00:01:00.000Z");
    assert_eq!(second["expires_at"], "2026-04-05T00:01:00.000Z");
    assert!(!listed.text.contains("hash") && !listed.text.contains("key"), "{}", listed.text);
}

#[tokio::test]
async fn a_player_can_end_another_of_its_sessions_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let kept = here.client.register("ada").await;
    let ended = there.client.login("ada").await;
    let path = format!("/auth/sessions/{}", ended.session());
    assert_eq!(kept.call("DELETE", &path).await.expect(204).text, "");
    assert!(
        !ended.at(&here).is_signed_in().await,
        "the instance that ended the session still accepts it"
    );
    ended.until_signed_out().await;
    ended.get("/me").await.expect_problem(401, "unauthenticated");
    there.client.refresh(&ended.refresh_token).await.expect_problem(401, "unauthenticated");
    assert_eq!(kept.sessions().await, [kept.session()]);
    assert!(kept.at(&there).is_signed_in().await);
    kept.call("DELETE", &path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_player_can_end_the_current_session() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    ada.call("DELETE", &format!("/auth/sessions/{}", ada.session())).await.expect(204);
    assert!(!ada.is_signed_in().await);
}

#[tokio::test]
async fn a_player_cannot_end_another_players_session() {
    let app = TestApp::new().await;
    let (ada, eve) = (app.client.register("ada").await, app.client.guest().await);
    for id in [ada.session(), ada.id.clone(), eve.id.clone(), ada.session().to_uppercase()] {
        let reply = eve.call("DELETE", &format!("/auth/sessions/{id}")).await;
        reply.expect_problem(404, "not_found");
    }
    eve.call("DELETE", "/auth/sessions").await.expect(204);
    assert!(ada.is_signed_in().await && eve.is_signed_in().await);
    ada.refreshed().await;
}

#[tokio::test]
async fn a_player_can_end_all_its_other_sessions() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let kept = here.client.register("ada").await;
    let ended = [here.client.login("ada").await, there.client.login("ada").await];
    kept.call("DELETE", "/auth/sessions").await.expect(204);
    for player in &ended {
        player.at(&there).until_signed_out().await;
        assert!(!player.at(&here).is_signed_in().await);
        here.client.refresh(&player.refresh_token).await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(kept.sessions().await, [kept.session()]);
    assert!(kept.at(&there).is_signed_in().await);
    kept.call("DELETE", "/auth/sessions").await.expect(204);
}

#[tokio::test]
async fn logging_out_ends_the_session_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let ada = here.client.register("ada").await;
    let phone = here.client.login("ada").await;
    assert_eq!(ada.call("POST", "/auth/logout").await.expect(204).text, "");
    ada.get("/me").await.expect_problem(401, "unauthenticated");
    ada.at(&there).until_signed_out().await;
    for client in [&here.client, &there.client] {
        client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    }
    assert!(phone.is_signed_in().await && phone.at(&there).is_signed_in().await);
}

#[tokio::test]
async fn an_ended_session_stays_ended_after_a_restart() {
    let world = World::new().await;
    let before = world.start().await;
    let ada = before.client.register("ada").await;
    let other = before.client.login("ada").await;
    ada.call("POST", "/auth/logout").await.expect(204);
    before.stop().await;
    // Shortly before the access token expires.
    world.advance(890.0);
    let after = world.start().await;
    ada.at(&after).get("/me").await.expect_problem(401, "unauthenticated");
    after.client.refresh(&ada.refresh_token).await.expect_problem(401, "unauthenticated");
    assert!(other.at(&after).is_signed_in().await);
    other.at(&after).refreshed().await;
}

#[tokio::test]
async fn concurrent_logouts_are_answered_204_or_401() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let callers: Vec<_> = (0..8).map(|n| ada.at(&apps[n % 2])).collect();
    let replies = join_all(callers.iter().map(|player| player.call("POST", "/auth/logout"))).await;
    assert!(replies.iter().any(|reply| reply.status == 204));
    for reply in replies.into_iter().filter(|reply| reply.status != 204) {
        reply.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn an_access_token_is_valid_for_fifteen_minutes() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    app.advance(899.0);
    assert!(ada.is_signed_in().await);
    app.advance(2.0);
    let reply = ada.get("/me").await.expect_problem(401, "token_expired");
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
    ada.click(1).await.expect_problem(401, "token_expired");
    assert!(ada.refreshed().await.is_signed_in().await);
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_expires() {
    let world = World::new().await;
    let app = world.start_with(&[("SESSION_TTL_DAYS", "1")]).await;
    let first = app.client.register("ada").await;
    app.advance(86_000.0);
    let refreshed = first.refreshed().await;
    let idle = app.client.login("ada").await;
    app.advance(86_000.0);
    let refreshed = refreshed.refreshed().await;
    app.advance(500.0);
    let late = app.client.refresh(&idle.refresh_token).await;
    late.expect_problem(401, "token_expired");
    assert_eq!(refreshed.sessions().await, [refreshed.session()]);
    app.advance(85_000.0);
    app.client.refresh(&refreshed.refresh_token).await.expect(200);
}
