//! Calls for signing in.

use serde_json::json;

use super::books::eventually;
use super::client::{Client, Player, Reply};

/// The password of [`Client::register`].
pub const PASSWORD: &str = "correct horse";

impl Client {
    /// Requests new tokens.
    pub async fn refresh(&self, refresh_token: &str) -> Reply {
        let body = json!({ "refresh_token": refresh_token });
        self.call("POST", "/auth/refresh", "", Some(body)).await
    }

    /// Tries to sign in by name.
    pub async fn try_login(&self, username: &str, password: &str) -> Reply {
        let body = json!({ "username": username, "password": password });
        self.call("POST", "/auth/login", "", Some(body)).await
    }

    /// Another session of a player who was registered by [`Client::register`].
    pub async fn login(&self, username: &str) -> Player {
        Player::of(self, &self.try_login(username, PASSWORD).await.expect(200))
    }

    /// Registers with `token` as the bearer token, if there is one.
    pub async fn try_register(&self, token: &str, username: &str, password: &str) -> Reply {
        let body = json!({ "username": username, "password": password });
        self.call("POST", "/auth/register", token, Some(body)).await
    }
}

impl Player {
    /// A call without a body.
    pub async fn call(&self, method: &str, path: &str) -> Reply {
        self.client.call(method, path, &self.token, None).await
    }

    /// Whether the access token is valid.
    pub async fn is_signed_in(&self) -> bool {
        let reply = self.get("/me").await;
        assert!([200, 401].contains(&reply.status), "{}", reply.text);
        reply.status == 200
    }

    /// Waits until the access token is not valid any more: an instance learns a moment later what ended elsewhere.
    pub async fn until_signed_out(&self) {
        eventually("the session ends", async || (!self.is_signed_in().await).then_some(())).await;
    }

    /// The ids of the player's sessions, newest first.
    pub async fn sessions(&self) -> Vec<String> {
        let listed = self.get("/auth/sessions").await.expect(200);
        let entries = listed.json["entries"].as_array().expect("a list").clone();
        entries.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
    }
}
