//! Changing a password.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{PASSWORD, TestApp, World};

const NEW: &str = "another horse";

fn change(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

#[tokio::test]
async fn a_new_password_takes_the_place_of_the_old_one() {
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
    let asking = here.client.register("ada").await;
    let other = there.client.login("ada").await;
    asking.post("/auth/password", change(PASSWORD, NEW)).await.expect(204);
    assert!(!other.at(&here).is_signed_in().await, "at once where it was changed");
    other.until_signed_out().await;
    there.client.refresh(&other.refresh_token).await.expect_problem(401, "unauthenticated");
    assert!(asking.is_signed_in().await && asking.at(&there).is_signed_in().await);
    assert_eq!(asking.sessions().await, [asking.session()]);
    asking.refreshed().await;
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
async fn what_cannot_be_a_password_does_not_become_one() {
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
async fn a_guest_has_no_password_to_change() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let reply = guest.post("/auth/password", change(PASSWORD, NEW)).await;
    reply.expect_problem(401, "invalid_credentials");
    assert!(guest.is_signed_in().await);
}

#[tokio::test]
async fn of_racing_changes_one_wins() {
    let world = World::new().await;
    let apps = [world.start().await, world.start().await];
    let ada = apps[0].client.register("ada").await;
    let asking = [ada.clone(), ada.at(&apps[1])];
    let passwords = ["password one", "password two"];
    let racing = asking
        .iter()
        .zip(passwords)
        .map(|(player, new)| player.post("/auth/password", change(PASSWORD, new)));
    let mut replies = join_all(racing).await;
    let winner = replies.iter().position(|reply| reply.status == 204).expect("a winner");
    replies.remove(1 - winner).expect_problem(401, "invalid_credentials");
    apps[0].client.try_login("ada", passwords[winner]).await.expect(200);
    let loser = apps[0].client.try_login("ada", passwords[1 - winner]).await;
    loser.expect_problem(401, "invalid_credentials");
}
