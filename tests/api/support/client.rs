//! A client of the API.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use super::app::{ADMIN_TOKEN, TestApp};
use super::books::eventually;
use super::document;

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer that was read completely.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub text: String,
    /// Null if the body is not JSON.
    pub json: Value,
}

impl Reply {
    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The problem's code; empty if there is none.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Returns itself if the status is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Returns itself if it is that problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        self
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { http: reqwest::Client::new(), base: format!("http://{address}") }
    }

    /// The origin of the server's own pages.
    pub fn origin(&self) -> &str {
        &self.base
    }

    /// A request to a path from the root on.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request. Every answer is validated against the OpenAPI document.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let (http, request) = request.build_split();
        let request = request.expect("a request");
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = http.execute(request).await.expect("an answer");
        let status = StatusCode::as_u16(&response.status());
        let headers = response.headers().clone();
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        let reply = Reply { status, headers, text, json };
        let told = document::tells_of(&method, &path, status, reply.code());
        assert!(told, "{method} {path}: {status} is not documented: {}", reply.text);
        reply
    }

    /// A call of the API below `/api/v1`.
    pub async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Reply {
        let mut request = self.request(method, &format!("/api/v1{path}"));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// As [`Client::call`], as an operator.
    pub async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call(method, &format!("/admin{path}"), ADMIN_TOKEN, body).await
    }

    /// A new guest.
    pub async fn guest(&self) -> Player {
        let reply = self.call("POST", "/auth/guest", "", Some(json!({}))).await.expect(201);
        Player::of(self, &reply)
    }

    /// A new player with that username, whose password is `correct horse`.
    pub async fn register(&self, username: &str) -> Player {
        let body = json!({ "username": username, "password": "correct horse" });
        let reply = self.call("POST", "/auth/register", "", Some(body)).await.expect(201);
        Player::of(self, &reply)
    }
}

/// A signed-in player.
#[derive(Clone)]
pub struct Player {
    pub client: Client,
    pub id: String,
    pub token: String,
    pub refresh_token: String,
}

impl Player {
    /// The player of an answer to signing in.
    pub fn of(client: &Client, reply: &Reply) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Self {
            client: client.clone(),
            id: text(&reply.json["player"]["id"]),
            token: text(&reply.json["tokens"]["access_token"]),
            refresh_token: text(&reply.json["tokens"]["refresh_token"]),
        }
    }

    /// The same player at another instance.
    pub fn at(&self, app: &TestApp) -> Self {
        Self { client: app.client.clone(), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.client.call("GET", path, &self.token, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.client.call("POST", path, &self.token, Some(body)).await
    }

    /// As [`Player::post`], with an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Reply {
        let request = self.client.request("POST", &format!("/api/v1{path}"));
        let request = request.bearer_auth(&self.token).header("Idempotency-Key", key).json(&body);
        self.client.send(request).await
    }

    /// The state.
    pub async fn state(&self) -> Value {
        self.get("/me").await.expect(200).json
    }

    /// The state once it has that version, because an instance may learn a moment later what another one changed.
    pub async fn state_at(&self, version: u64) -> Value {
        eventually("the change is seen", async || {
            Some(self.state().await).filter(|state| state["version"] == version)
        })
        .await
    }

    pub async fn click(&self, clicks: u64) -> Reply {
        self.post("/me/clicks", json!({ "clicks": clicks })).await
    }

    /// Buys generators; `quantity` is a number or `"max"`.
    pub async fn buy(&self, generator: &str, quantity: Value) -> Reply {
        let path = format!("/me/generators/{generator}/purchase");
        self.post(&path, json!({ "quantity": quantity })).await
    }

    /// Gives the player energy, as an operator does.
    pub async fn grant(&self, energy: f64) {
        let path = format!("/players/{}/grant", self.id);
        let body = json!({ "energy": energy, "reason": "for the test" });
        self.client.admin("POST", &path, Some(body)).await.expect(200);
    }
}
