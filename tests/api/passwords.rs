//! Changing a password.

use argon2::{Argon2, PasswordHasher};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Player, TestApp, World};

const NEW: &str = "another horse";

fn change(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let reply = ada.post("/auth/password", change(PASSWORD, NEW)).await.expect(204);
    assert_eq!(reply.text, "");
    app.client.try_login("ada", PASSWORD).await.expect_problem(401, "invalid_credentials");
    app.client.try_login("ada", NEW).await.expect(200);
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.start().await, world.start().await);
    let current = here.client.register("ada").await;
    let other = there.client.login("ada").await;
    current.post("/auth/password", change(PASSWORD, NEW)).await.expect(204);
    assert!(
        !other.at(&here).is_signed_in().await,
        "the instance that changed the password accepts the old session"
    );
    other.until_signed_out().await;
    there.client.refresh(&other.refresh_token).await.expect_problem(401, "unauthenticated");
    assert!(current.is_signed_in().await && current.at(&there).is_signed_in().await);
    assert_eq!(current.sessions().await, [current.session()]);
    current.refreshed().await;
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let other = app.client.login("ada").await;
    for current in ["wrong horse", "", NEW] {
        let reply = ada.post("/auth/password", change(current, NEW)).await;
        reply.expect_problem(401, "invalid_credentials");
    }
    assert!(ada.is_signed_in().await && other.is_signed_in().await);
    app.client.login("ada").await;
}

#[tokio::test]
async fn an_invalid_new_password_is_refused() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    for new in ["", "short", &"x".repeat(129)] {
        let reply = ada.post("/auth/password", change(PASSWORD, new)).await;
        let reply = reply.expect_problem(422, "validation_failed");
        assert_eq!(reply.json["errors"][0]["field"], "new_password");
    }
    app.client.login("ada").await;
}

#[tokio::test]
async fn a_guest_cannot_change_a_password() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let reply = guest.post("/auth/password", change(PASSWORD, NEW)).await;
    reply.expect_problem(401, "invalid_credentials");
    assert!(guest.is_signed_in().await);
}

#[tokio::test]
async fn only_one_of_concurrent_changes_succeeds() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let sessions = [ada.clone(), ada.at(&apps[1])];
    let passwords = ["password one", "password two"];
    let concurrent = sessions
        .iter()
        .zip(passwords)
        .map(|(player, new)| player.post("/auth/password", change(PASSWORD, new)));
    let mut replies = join_all(concurrent).await;
    let winner = replies.iter().position(|reply| reply.status == 204).expect("a winner");
    replies.remove(1 - winner).expect_problem(401, "invalid_credentials");
    apps[0].client.try_login("ada", passwords[winner]).await.expect(200);
    let loser = apps[0].client.try_login("ada", passwords[1 - winner]).await;
    loser.expect_problem(401, "invalid_credentials");
}

/// The same password in composed and in decomposed Unicode form, as different keyboards type it.
const COMPOSED: &str = "pässwörd é 한글";
const DECOMPOSED: &str =
    "pa\u{308}sswo\u{308}rd e\u{301} \u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}";

#[tokio::test]
async fn a_password_is_accepted_in_composed_and_decomposed_form() {
    let app = TestApp::new().await;
    for (username, first) in [("ada", DECOMPOSED), ("bea", COMPOSED)] {
        let player = app.client.try_register("", username, first).await.expect(201);
        let player = Player::of(&app.client, &player);
        for typed in [COMPOSED, DECOMPOSED] {
            app.client.try_login(username, typed).await.expect(200);
        }
        let changed = change(if first == COMPOSED { DECOMPOSED } else { COMPOSED }, NEW);
        player.post("/auth/password", changed).await.expect(204);
        app.client.try_login(username, first).await.expect_problem(401, "invalid_credentials");
    }
}

/// Only the length of a password is restricted.
#[tokio::test]
async fn any_text_of_valid_length_is_accepted_as_a_password() {
    let app = TestApp::new().await;
    for (number, password) in
        ["\u{200b}".repeat(8), "\u{202e}\n\0\t    ".into(), "e\u{301}".repeat(128)]
            .iter()
            .enumerate()
    {
        let username = format!("player_{number}");
        app.client.try_register("", &username, password).await.expect(201);
        app.client.try_login(&username, password).await.expect(200);
    }
    let short = "e\u{301}".repeat(7);
    app.client.try_register("", "short", &short).await.expect_problem(422, "validation_failed");
}

/// Older releases hashed the password as it was typed, not its composed form.
#[tokio::test]
async fn a_hash_of_the_typed_form_is_accepted_and_replaced_by_one_of_the_composed_form() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    apps[0].client.register("ada").await;
    let old = Argon2::default().hash_password(DECOMPOSED.as_bytes()).expect("a hash").to_string();
    let database = world.connect().await;
    let set = "update accounts set password_hash = $1, password_changed_at = '2026-01-01'";
    database.execute(set, &[&old]).await.expect("set");
    apps[0].client.try_login("ada", COMPOSED).await.expect_problem(401, "invalid_credentials");
    // Each of the concurrent logins may replace the hash.
    let logins = apps.iter().cycle().take(4).map(|app| app.client.try_login("ada", DECOMPOSED));
    for reply in join_all(logins).await {
        reply.expect(200);
    }
    for typed in [COMPOSED, DECOMPOSED] {
        apps[1].client.try_login("ada", typed).await.expect(200);
    }
    let changed = "select count(*) from accounts where password_hash <> $1 and password_changed_at = '2026-01-01'";
    let row = database.query_one(changed, &[&old]).await.expect("a row");
    assert_eq!(
        row.get::<_, i64>(0),
        1,
        "the hash is replaced, and the time of the last change of the password is kept"
    );
}
