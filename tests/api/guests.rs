//! Guests who choose a username: the same player continues.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{JWT_SECRET, PASSWORD, Player, TestApp, World, tokens};

#[tokio::test]
async fn a_guest_who_registers_keeps_its_progress() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    guest.click(30).await.expect(200);
    guest.buy("hand_crank", json!(1)).await.expect(200);
    let before = guest.state().await;
    let reply = app.client.try_register(&guest.token, "Ada", PASSWORD).await.expect(201);
    assert_eq!(reply.json["player"]["id"], guest.id);
    assert_eq!(reply.json["player"]["username"], "ada");
    let ada = Player::of(&app.client, &reply);
    let after = ada.state().await;
    for kept in ["energy", "lifetime_energy", "generators", "display_name"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(after["username"], "ada");
    let version = |state: &Value| state["version"].as_u64().expect("a version");
    assert_eq!(version(&after), version(&before) + 1);
    let clicked = ada.click(1).await.expect(200);
    assert_eq!(version(&clicked.json["state"]), version(&after) + 1);
    assert_eq!(clicked.json["state"]["username"], "ada");
    assert_eq!(app.client.login("ada").await.id, guest.id);
}

#[tokio::test]
async fn a_guest_may_set_a_display_name_when_it_registers() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let body = json!({ "username": "ada", "password": PASSWORD, "display_name": "Ada" });
    let reply = guest.post("/auth/register", body).await.expect(201);
    assert_eq!(reply.json["player"]["display_name"], "Ada");
    assert_eq!(guest.state().await["display_name"], "Ada");
}

#[tokio::test]
async fn a_guest_who_registers_ends_its_other_sessions_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let guest = here.client.guest().await;
    // Guests cannot sign in a second time, so the other session is inserted into the database.
    let database = world.connect().await;
    let other = database
        .query_one(
            "insert into sessions (player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at)
             select player_id, gen_random_uuid(), chain_key, 'none', created_at, rotated_at, expires_at
             from sessions returning session_id::text",
            &[],
        )
        .await
        .expect("inserted");
    let mut claims = guest.claims();
    claims["sid"] = json!(other.get::<_, String>(0));
    let other = Player { token: tokens::token(&claims, JWT_SECRET), ..guest.clone() };
    assert!(other.is_signed_in().await && other.at(&there).is_signed_in().await);
    let reply = here.client.try_register(&guest.token, "ada", PASSWORD).await.expect(201);
    let ada = Player::of(&here.client, &reply);
    assert!(!other.is_signed_in().await, "at once where it registered");
    other.at(&there).until_signed_out().await;
    assert!(ada.at(&there).is_signed_in().await);
    assert!(guest.is_signed_in().await, "the session that asked goes on");
    let sessions = ada.sessions().await;
    assert!(sessions.contains(&ada.session()) && !sessions.contains(&other.session()));
}

#[tokio::test]
async fn repeating_a_registration_with_the_same_name_and_password_succeeds() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let first = app.client.try_register(&guest.token, "ada", PASSWORD).await.expect(201);
    for name in ["ada", "ADA"] {
        let again = app.client.try_register(&guest.token, name, PASSWORD).await.expect(201);
        assert_eq!(again.json["player"], first.json["player"]);
        assert!(Player::of(&app.client, &again).is_signed_in().await);
    }
    let state = guest.state().await;
    assert_eq!(state["version"], 1, "a repeat changes nothing");
}

#[tokio::test]
async fn a_player_registers_once() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    for (name, password) in [("ada", "another password"), ("eve", PASSWORD)] {
        let reply = app.client.try_register(&ada.token, name, password).await;
        reply.expect_problem(409, "already_registered");
    }
    assert_eq!(ada.state().await["username"], "ada");
    app.client.login("ada").await;
    app.client.register("eve").await;
}

#[tokio::test]
async fn one_of_several_racing_registrations_succeeds() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let guest = apps[0].client.guest().await;
    guest.click(5).await.expect(200);
    let names = ["ada", "bea", "cleo", "dora"];
    let racing = names
        .iter()
        .enumerate()
        .map(|(n, name)| apps[n % 2].client.try_register(&guest.token, name, PASSWORD));
    let replies = join_all(racing).await;
    let won: Vec<usize> = (0..names.len()).filter(|&n| replies[n].status == 201).collect();
    let [winner] = won[..] else { panic!("{} upgrades won", won.len()) };
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_problem(409, "already_registered");
    }
    for (n, name) in names.into_iter().enumerate() {
        if n == winner {
            let state = apps[0].client.login(name).await.state().await;
            assert_eq!((&state["player_id"], &state["username"]), (&json!(guest.id), &json!(name)));
            assert_eq!((&state["energy"], &state["version"]), (&json!(5.0), &json!(2)));
        } else {
            apps[0].client.register(name).await;
        }
    }
}

#[tokio::test]
async fn all_concurrent_repeats_of_one_registration_succeed() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let guest = apps[0].client.guest().await;
    let racing = (0..4).map(|n| apps[n % 2].client.try_register(&guest.token, "ada", PASSWORD));
    for reply in join_all(racing).await {
        assert_eq!(reply.expect(201).json["player"]["id"], guest.id);
    }
    assert_eq!(guest.state().await["version"], 1);
}

#[tokio::test]
async fn a_guest_who_asks_for_a_taken_name_stays_a_guest() {
    let app = TestApp::new().await;
    app.client.register("ada").await;
    let guest = app.client.guest().await;
    guest.click(3).await.expect(200);
    let reply = app.client.try_register(&guest.token, "ada", PASSWORD).await;
    reply.expect_problem(409, "username_taken");
    let state = guest.state().await;
    assert_eq!((&state["username"], &state["version"]), (&json!(null), &json!(1)));
    assert_eq!(state["energy"], 3.0);
    app.client.try_register(&guest.token, "bea", PASSWORD).await.expect(201);
}

#[tokio::test]
async fn one_of_two_guests_racing_for_a_name_gets_it_and_the_other_stays_a_guest() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let guests = [apps[0].client.guest().await, apps[1].client.guest().await];
    let racing = guests.iter().map(|it| it.client.try_register(&it.token, "wanted", PASSWORD));
    let mut replies = join_all(racing).await;
    let winner = replies.iter().position(|reply| reply.status == 201).expect("a winner");
    replies.remove(1 - winner).expect_problem(409, "username_taken");
    assert_eq!(guests[1 - winner].state().await["username"], json!(null));
    assert_eq!(apps[0].client.login("wanted").await.id, guests[winner].id);
}

#[tokio::test]
async fn an_invalid_token_does_not_create_a_player() {
    let app = TestApp::new().await;
    let reply = app.client.try_register("not.a.token", "ada", PASSWORD).await;
    reply.expect_problem(401, "unauthenticated");
    let guest = app.client.guest().await;
    app.advance(901.0);
    let reply = app.client.try_register(&guest.token, "ada", PASSWORD).await;
    reply.expect_problem(401, "token_expired");
    app.client.register("ada").await;
}
