//! Invalid requests: each is refused with its status and code, and none has an effect.

mod bodies;
mod counts;
mod headers;
mod paths;
mod tokens;

use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::{Client, Player, Reply, TestApp};

/// A request and the expected refusal.
struct Row {
    name: String,
    request: Request,
    status: u16,
    code: &'static str,
    /// The expected `errors[0].field`.
    field: Option<&'static str>,
}

enum Request {
    Built(Box<RequestBuilder>),
    /// Written byte by byte.
    Raw(Vec<u8>),
}

/// A request that is refused with that status and code.
fn refused(
    status: u16,
    code: &'static str,
    name: impl Into<String>,
    request: impl Into<Request>,
) -> Row {
    Row { name: name.into(), request: request.into(), status, code, field: None }
}

/// Malformed.
fn malformed(name: impl Into<String>, request: impl Into<Request>) -> Row {
    refused(400, "invalid_request", name, request)
}

/// Well-formed but invalid.
fn unacceptable(name: impl Into<String>, request: impl Into<Request>) -> Row {
    refused(422, "validation_failed", name, request)
}

fn not_found(name: impl Into<String>, request: impl Into<Request>) -> Row {
    refused(404, "not_found", name, request)
}

impl Row {
    /// Also names the invalid field.
    fn at(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// What is wrong with the answer; `None` if it is the expected one.
    fn fault(&self, reply: &Reply) -> Option<String> {
        let problem = &reply.json;
        let checks = [
            ((reply.status, reply.code()) == (self.status, self.code), "status or code"),
            (problem["status"] == reply.status, "member status"),
            (reply.header("content-type") == "application/problem+json", "content type"),
            (problem["title"].is_string() && problem["detail"].is_string(), "title or detail"),
            (problem["request_id"] == reply.header("x-request-id"), "request id"),
            (reply.status != 401 || reply.header("www-authenticate").starts_with("Bearer"), "401"),
            (reply.status != 405 || !reply.header("allow").is_empty(), "405 without Allow"),
            (
                self.field.is_none_or(|field| problem["errors"][0]["field"] == field),
                "errors[0].field",
            ),
        ];
        let (_, what) = checks.iter().find(|(right, _)| !right)?;
        let expected = (self.status, self.code, self.field);
        let text: String = reply.text.chars().take(400).collect();
        Some(format!("{}: {what}; expected {expected:?}, got {} {text}", self.name, reply.status))
    }
}

impl From<RequestBuilder> for Request {
    fn from(request: RequestBuilder) -> Self {
        Self::Built(Box::new(request))
    }
}

impl From<String> for Request {
    fn from(request: String) -> Self {
        Self::Raw(request.into())
    }
}

impl From<Vec<u8>> for Request {
    fn from(request: Vec<u8>) -> Self {
        Self::Raw(request)
    }
}

/// The player who sends the requests.
struct Sender<'a> {
    client: &'a Client,
    player: &'a Player,
}

impl Sender<'_> {
    /// A request below `/api/v1` with the player's token.
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method, &format!("/api/v1{path}")).bearer_auth(&self.player.token)
    }

    /// With these bytes as a JSON body.
    fn with_body(
        &self,
        method: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> RequestBuilder {
        self.request(method, path).header("Content-Type", "application/json").body(body)
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.with_body("POST", path, body)
    }

    /// The head of a request with the player's token, for writing it byte by byte.
    fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let token = &self.player.token;
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n{headers}\r\n"
        )
    }
}

#[tokio::test]
async fn invalid_requests_are_refused_with_their_codes_and_change_nothing() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    ada.click(30).await.expect(200);
    ada.buy("hand_crank", json!(1)).await.expect(200);
    let (before, sessions) = (ada.state().await, ada.sessions().await);
    let sender = Sender { client: &app.client, player: &ada };
    let table = [
        counts::rows(&sender),
        bodies::rows(&sender),
        paths::rows(&sender),
        tokens::rows(&sender),
        headers::rows(&sender),
    ];
    let mut faults = Vec::new();
    for row in table.into_iter().flatten() {
        let reply = match &row.request {
            Request::Built(request) => {
                app.client.send(request.try_clone().expect("bodies are bytes")).await
            }
            Request::Raw(bytes) => app.client.send_raw(bytes.clone()).await,
        };
        faults.extend(row.fault(&reply));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(ada.state().await, before, "version, energy and all else are as before");
    assert_eq!(ada.sessions().await, sessions);
}
