//! The session cookie for web pages: how it is set, which pages may use it, and when it is cleared.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{Client, Player, Reply, TestApp, World};

const NAME: &str = "__Host-idlewatt-session";
const PLAY: &str = "https://play.example.org";

/// A web page of an origin, in a browser that has at most one session cookie.
#[derive(Clone)]
struct Page {
    client: Client,
    origin: String,
    cookie: Option<String>,
    token: String,
}

/// The parts of a `Set-Cookie` header: the cookie, and its attributes in lower case.
fn set_cookie(reply: &Reply) -> Option<(String, Vec<String>)> {
    let header = Some(reply.header("set-cookie")).filter(|it| !it.is_empty())?;
    let mut parts = header.split(';').map(str::trim);
    let cookie = parts.next().expect("a cookie").to_owned();
    let mut attributes: Vec<_> = parts.map(str::to_ascii_lowercase).collect();
    attributes.sort();
    Some((cookie, attributes))
}

impl Page {
    /// A page with the origin of the server.
    fn of(app: &TestApp) -> Self {
        let client = app.client.clone();
        let origin = client.origin().to_owned();
        Self { client, origin, cookie: None, token: String::new() }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let request = self.client.request(method, &format!("/api/v1{path}"));
        let request = request.header("Origin", &self.origin);
        match &self.cookie {
            Some(cookie) => request.header("Cookie", format!("theme=dark; {cookie}; x=y")),
            None => request,
        }
    }

    /// Sends a request and stores or removes the cookie as the answer says.
    async fn send(&mut self, request: RequestBuilder) -> Reply {
        let reply = self.client.send(request).await;
        if let Some((cookie, attributes)) = set_cookie(&reply) {
            self.cookie = (!attributes.contains(&"max-age=0".to_owned())).then_some(cookie);
        }
        if let Some(token) = reply.json["tokens"]["access_token"].as_str() {
            token.clone_into(&mut self.token);
        }
        reply
    }

    async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.send(self.request("POST", path).json(&body)).await
    }

    /// A page on which a guest is signed in.
    async fn guest(app: &TestApp) -> Self {
        let mut page = Self::of(app);
        page.post("/auth/guest", json!({ "session": "cookie" })).await.expect(201);
        page
    }

    fn refresh_token(&self) -> String {
        let cookie = self.cookie.as_ref().expect("a cookie");
        cookie.strip_prefix(NAME).expect("the name")[1..].to_owned()
    }

    async fn is_signed_in(&self) -> bool {
        self.client.call("GET", "/me", &self.token, None).await.status == 200
    }
}

#[tokio::test]
async fn every_sign_in_sets_the_cookie_instead_of_returning_the_refresh_token() {
    let app = TestApp::new().await;
    let mut page = Page::of(&app);
    let account = json!({ "username": "ada", "password": "correct horse", "session": "cookie" });
    for (path, status, body) in [
        ("/auth/guest", 201, json!({ "session": "cookie" })),
        ("/auth/register", 201, account.clone()),
        ("/auth/login", 200, account),
    ] {
        let reply = page.post(path, body).await.expect(status);
        assert_eq!(reply.json["tokens"].get("refresh_token"), None, "{path}: {}", reply.text);
        let (_, attributes) = set_cookie(&reply).expect("a cookie");
        let expected = ["httponly", "max-age=7776000", "path=/", "samesite=strict", "secure"];
        assert_eq!(attributes, expected, "{path}");
        let hint = reply.headers.get_all("set-cookie").iter().nth(1).expect("a hint");
        let hint = hint.to_str().expect("text").to_ascii_lowercase();
        assert!(hint.starts_with("idlewatt-signed-in=1;") && !hint.contains("httponly"), "{hint}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(page.is_signed_in().await);
        assert_eq!(page.refresh_token().len(), 91);
    }
    for kind in [json!({}), json!({ "session": "token" })] {
        let reply = Page::of(&app).post("/auth/guest", kind).await.expect(201);
        assert!(reply.json["tokens"]["refresh_token"].is_string());
        assert_eq!(set_cookie(&reply), None);
    }
    let reply = page.post("/auth/guest", json!({ "session": "local" })).await;
    assert_eq!(reply.expect_problem(400, "invalid_request").json["errors"][0]["field"], "session");
}

#[tokio::test]
async fn a_guest_with_a_cookie_keeps_its_progress_when_it_registers() {
    let app = TestApp::new().await;
    let mut page = Page::guest(&app).await;
    let before = page.client.call("GET", "/me", &page.token, None).await.expect(200);
    let body = json!({ "username": "ada", "password": "correct horse", "session": "cookie" });
    let request = page.request("POST", "/auth/register").bearer_auth(&page.token).json(&body);
    let reply = page.send(request).await.expect(201);
    assert_eq!(reply.json["player"]["id"], before.json["player_id"]);
    page.post("/auth/refresh", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_refresh_replaces_the_cookie_and_a_reused_one_is_cleared() {
    let app = TestApp::new().await;
    let mut page = Page::guest(&app).await;
    let (first, token) = (page.cookie.clone(), page.token.clone());
    app.advance(60.0);
    let reply = page.post("/auth/refresh", json!({})).await.expect(200);
    assert_eq!(reply.json["tokens"].get("refresh_token"), None, "{}", reply.text);
    assert!(page.cookie != first && page.token != token);
    // Another tab refreshes with the same cookie at the same time.
    let mut tab = Page { cookie: first.clone(), ..Page::of(&app) };
    tab.post("/auth/refresh", json!({})).await.expect(200);
    assert_eq!(tab.cookie, page.cookie);
    app.advance(60.0);
    page.post("/auth/refresh", json!({})).await.expect(200);
    let mut thief = Page { cookie: first, ..Page::of(&app) };
    thief.post("/auth/refresh", json!({})).await.expect_problem(401, "unauthenticated");
    assert_eq!(thief.cookie, None, "the cookie is cleared");
    assert!(!page.is_signed_in().await, "the session has ended");
    page.post("/auth/refresh", json!({})).await.expect_problem(401, "unauthenticated");
    assert_eq!(page.cookie, None);
}

#[tokio::test]
async fn only_pages_of_the_server_or_of_configured_origins_may_use_the_cookie() {
    let world = World::new().await;
    let app = world.start_with(&[("CORS_ALLOWED_ORIGINS", PLAY)]).await;
    let page = Page::guest(&app).await;
    let others = ["https://evil.example.org", "null", "http://127.0.0.1", ""];
    for path in ["/auth/refresh", "/auth/logout"] {
        for origin in others {
            let mut other = Page { origin: origin.to_owned(), ..page.clone() };
            other.post(path, json!({})).await.expect_problem(403, "forbidden");
        }
        let request = app.client.request("POST", &format!("/api/v1{path}")).json(&json!({}));
        let request = request.header("Cookie", page.cookie.as_ref().expect("a cookie"));
        app.client.send(request).await.expect_problem(403, "forbidden");
    }
    assert!(page.is_signed_in().await);
    let mut configured = Page { origin: PLAY.to_owned(), ..page.clone() };
    let reply = configured.post("/auth/refresh", json!({})).await.expect(200);
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
    assert_eq!(reply.header("access-control-allow-origin"), PLAY);
}

#[tokio::test]
async fn calls_with_the_cookie_must_have_a_json_body() {
    let app = TestApp::new().await;
    let mut page = Page::guest(&app).await;
    for path in ["/auth/refresh", "/auth/logout"] {
        let bare = page.request("POST", path);
        page.send(bare).await.expect_problem(415, "unsupported_media_type");
        let text = page.request("POST", path).header("Content-Type", "text/plain").body("{}");
        page.send(text).await.expect_problem(415, "unsupported_media_type");
        let reply = page.post(path, json!({ "all": true })).await;
        reply.expect_problem(400, "invalid_request");
    }
    assert!(page.is_signed_in().await);
    page.post("/auth/refresh", json!({})).await.expect(200);
}

#[tokio::test]
async fn the_end_of_a_session_or_player_clears_the_cookie() {
    let app = TestApp::new().await;
    let mut page = Page::guest(&app).await;
    page.post("/auth/logout", json!({})).await.expect(204);
    assert_eq!((page.cookie.as_ref(), page.is_signed_in().await), (None, false));
    page.post("/auth/logout", json!({})).await.expect_problem(401, "unauthenticated");

    let mut page = Page::guest(&app).await;
    let request = page.request("POST", "/auth/logout").bearer_auth(&page.token);
    page.send(request).await.expect(204);
    assert_eq!((page.cookie.as_ref(), page.is_signed_in().await), (None, false));

    let mut page = Page::guest(&app).await;
    let request = page.request("DELETE", "/me").bearer_auth(&page.token);
    page.send(request).await.expect(204);
    assert_eq!((page.cookie.as_ref(), page.is_signed_in().await), (None, false));

    // A logout succeeds with the cookie of a session that was ended without the cookie.
    let mut page = Page::guest(&app).await;
    let ada = Player { token: page.token.clone(), ..app.client.guest().await };
    ada.client.call("POST", "/auth/logout", &ada.token, None).await.expect(204);
    page.post("/auth/logout", json!({})).await.expect(204);
    assert_eq!(page.cookie, None);
}

#[tokio::test]
async fn without_tls_only_localhost_gets_a_secure_cookie() {
    let app = TestApp::new().await;
    for (host, secure) in [
        ("192.168.0.7:8080", false),
        ("game.local", false),
        ("localhost:8080", true),
        ("[::1]:8080", true),
    ] {
        let mut page = Page { origin: format!("http://{host}"), ..Page::of(&app) };
        let request = page.request("POST", "/auth/guest").header("Host", host);
        let reply = page.send(request.json(&json!({ "session": "cookie" }))).await.expect(201);
        let (cookie, attributes) = set_cookie(&reply).expect("a cookie");
        assert_eq!(cookie.starts_with("__Host-"), secure, "{host}: {cookie}");
        assert_eq!(attributes.contains(&"secure".to_owned()), secure, "{host}");
        let request = page.request("POST", "/auth/refresh").header("Host", host);
        page.send(request.json(&json!({}))).await.expect(200);
    }
    // A page at an `https` address, with TLS ended at a proxy.
    let mut page = Page { origin: PLAY.to_owned(), ..Page::of(&app) };
    let request = page.request("POST", "/auth/guest").header("Host", "play.example.org");
    page.send(request.json(&json!({ "session": "cookie" }))).await.expect(201);
    assert!(page.cookie.as_ref().expect("a cookie").starts_with(NAME));
    let request = page.request("POST", "/auth/refresh").header("Host", "play.example.org");
    page.send(request.json(&json!({}))).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_in_the_body_is_used_without_a_cookie() {
    let app = TestApp::new().await;
    let mut page = Page::guest(&app).await;
    let ada = app.client.guest().await;
    let body = json!({ "refresh_token": ada.refresh_token });
    let reply = page.post("/auth/refresh", body).await.expect(200);
    assert!(reply.json["tokens"]["refresh_token"].is_string());
    assert_eq!(set_cookie(&reply), None);
    let reply = Page::of(&app).post("/auth/refresh", json!({})).await;
    let problem = reply.expect_problem(400, "invalid_request");
    assert_eq!(problem.json["errors"][0]["field"], "refresh_token");
}
