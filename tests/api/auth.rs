//! Becoming a player: as a guest, by name, and signing in again.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Player, Reply, TestApp, World};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().expect("a list of errors");
    errors.iter().map(|error| error["field"].as_str().expect("a field")).collect()
}

#[tokio::test]
async fn a_guest_can_play_without_giving_anything() {
    let app = TestApp::new().await;
    let reply = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await.expect(201);
    let (player, tokens) = (&reply.json["player"], &reply.json["tokens"]);
    assert_eq!(keys(&reply.json), BTreeSet::from(["player", "tokens"]));
    assert_eq!(keys(player), BTreeSet::from(["id", "display_name", "username"]));
    assert_eq!(
        keys(tokens),
        BTreeSet::from(["access_token", "token_type", "expires_in", "refresh_token"])
    );
    assert_eq!(player["username"], Value::Null);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    let guest = Player::of(&app.client, &reply);
    assert_eq!((guest.id.len(), guest.id.as_bytes()[14]), (36, b'7'), "no UUIDv7: {}", guest.id);
    let state = guest.state().await;
    assert_eq!(state["player_id"], guest.id);
    assert_eq!(state["display_name"], player["display_name"]);
}

#[tokio::test]
async fn a_registered_player_signs_in_with_the_name_in_any_case() {
    let app = TestApp::new().await;
    let body = json!({ "username": "Ada_99", "password": PASSWORD, "display_name": " Ada L. " });
    let reply = app.client.call("POST", "/auth/register", "", Some(body)).await.expect(201);
    let player = json!({
        "id": reply.json["player"]["id"], "display_name": "Ada L.", "username": "ada_99"
    });
    assert_eq!(reply.json["player"], player);
    for name in ["ada_99", "ADA_99"] {
        let again = app.client.try_login(name, PASSWORD).await.expect(200);
        assert_eq!(again.json["player"], player);
        assert!(Player::of(&app.client, &again).is_signed_in().await);
    }
}

#[tokio::test]
async fn the_username_is_the_default_display_name() {
    let app = TestApp::new().await;
    let reply = app.client.try_register("", "Grace", PASSWORD).await.expect(201);
    assert_eq!(reply.json["player"]["display_name"], "grace");
}

#[tokio::test]
async fn the_longest_and_the_shortest_names_and_passwords_are_accepted() {
    let app = TestApp::new().await;
    let long = "n".repeat(24);
    for (username, password, display_name) in [
        ("abc", "ä".repeat(8), "x".to_owned()),
        (long.as_str(), "パ".repeat(128), "가".repeat(24)),
        ("_0_", " spaces kept ".to_owned(), format!("  {}\t", "b".repeat(24))),
    ] {
        let body = json!({
            "username": username, "password": password, "display_name": display_name
        });
        let reply = app.client.call("POST", "/auth/register", "", Some(body)).await.expect(201);
        assert_eq!(reply.json["player"]["display_name"], display_name.trim());
        app.client.try_login(username, &password).await.expect(200);
    }
    app.client.try_login("_0_", "spaces kept").await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn invalid_names_and_passwords_are_refused_and_name_the_field() {
    let app = TestApp::new().await;
    let good = json!({ "username": "ada", "password": PASSWORD, "display_name": "Ada" });
    let long = "x".repeat(129);
    for (field, values) in [
        (
            "username",
            ["", "ab", "has space", "ada-l", "ädä", "a\0b", &long[..25], " ada", "K\u{212a}k"],
        ),
        ("password", ["", "short", "1234567", &long, "ääääääá", "x", "xx", "xxx", "xxxx"]),
        (
            "display_name",
            ["", "   ", "a\nb", "a\u{7}b", "a\0b", &long[..25], "a\u{85}b", "a\u{202e}b", "\t"],
        ),
    ] {
        for value in values {
            let mut body = good.clone();
            body[field] = json!(value);
            let reply = app.client.call("POST", "/auth/register", "", Some(body)).await;
            let reply = reply.expect_problem(422, "validation_failed");
            assert_eq!(fields(&reply.json), [field], "{value:?}");
        }
    }
    let body = json!({ "username": "ab", "password": "short", "display_name": "" });
    let reply = app.client.call("POST", "/auth/register", "", Some(body)).await;
    let reply = reply.expect_problem(422, "validation_failed");
    assert_eq!(fields(&reply.json), ["username", "password", "display_name"], "all at once");
    app.client.call("POST", "/auth/register", "", Some(good)).await.expect(201);
}

#[tokio::test]
async fn a_username_belongs_to_one_player_in_any_case() {
    let app = TestApp::new().await;
    app.client.register("ada").await;
    for name in ["ada", "ADA"] {
        let reply = app.client.try_register("", name, "another password").await;
        reply.expect_problem(409, "username_taken");
    }
    app.client
        .try_login("ada", "another password")
        .await
        .expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn one_of_several_racing_players_gets_the_username() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let (clients, bodies): (Vec<_>, Vec<_>) =
        (0..6).map(|n| (&apps[n % 2].client, format!("password {n}"))).unzip();
    let racing = clients
        .iter()
        .zip(&bodies)
        .map(|(client, password)| client.try_register("", "wanted", password));
    let replies = join_all(racing).await;
    let winners: Vec<usize> = (0..6).filter(|&n| replies[n].status == 201).collect();
    let [winner] = winners[..] else { panic!("{} of them won", winners.len()) };
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_problem(409, "username_taken");
    }
    apps[0].client.try_login("wanted", &bodies[winner]).await.expect(200);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let app = TestApp::new().await;
    app.client.register("ada").await;
    let wrong_password = app.client.try_login("ada", "wrong horse").await;
    let wrong_password = wrong_password.expect_problem(401, "invalid_credentials");
    let names = |reply: &Reply| -> BTreeSet<String> {
        reply.headers.keys().map(ToString::to_string).collect()
    };
    let alike = |reply: &Value| {
        let mut body = reply.clone();
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(wrong_password.header("www-authenticate"), "Bearer");
    for (name, password) in
        [("nobody", "wrong horse"), ("ada", ""), ("not a name", PASSWORD), ("a\0b", PASSWORD)]
    {
        let reply = app.client.try_login(name, password).await;
        let reply = reply.expect_problem(401, "invalid_credentials");
        assert_eq!(alike(&reply.json), alike(&wrong_password.json), "{name:?}");
        assert_eq!(names(&reply), names(&wrong_password), "{name:?}");
    }
}

#[tokio::test]
async fn a_banned_player_learns_of_the_ban_only_with_the_right_password() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let path = format!("/players/{}", ada.id);
    app.client.admin("POST", &format!("{path}/ban"), Some(json!({}))).await.expect(204);
    ada.get("/me").await.expect_problem(403, "player_banned");
    ada.click(1).await.expect_problem(403, "player_banned");
    app.client.refresh(&ada.refresh_token).await.expect_problem(403, "player_banned");
    app.client.try_login("ada", PASSWORD).await.expect_problem(403, "player_banned");
    let guess = app.client.try_login("ada", "wrong horse").await;
    guess.expect_problem(401, "invalid_credentials");
    app.client.admin("POST", &format!("{path}/unban"), Some(json!({}))).await.expect(204);
    app.client.login("ada").await;
    ada.refreshed().await;
}
