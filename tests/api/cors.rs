//! Which pages may call the API.

use reqwest::RequestBuilder;

use crate::support::{Player, Reply, TestApp, World};

const ALLOWED: [&str; 2] = ["https://play.example.org", "http://localhost:5173"];

/// Origins that are not allowed, although some are similar to allowed ones.
const OTHERS: [&str; 8] = [
    "https://elsewhere.example.org",
    "https://play.example.org.evil.com",
    "https://evil-play.example.org",
    "http://play.example.org",
    "https://play.example.org:8443",
    "https://example.org",
    "null",
    "*",
];

async fn app_with_origins() -> (TestApp, Player) {
    let origins = ALLOWED.join(", ");
    let app = World::new().await.start_with(&[("CORS_ALLOWED_ORIGINS", &origins)]).await;
    let ada = app.client.register("ada").await;
    (app, ada)
}

fn preflight(player: &Player, origin: &str, method: &str, headers: &str) -> RequestBuilder {
    let request = player.client.request("OPTIONS", "/api/v1/me/clicks");
    let request = request.header("Origin", origin).header("Access-Control-Request-Method", method);
    if headers.is_empty() {
        return request;
    }
    request.header("Access-Control-Request-Headers", headers)
}

fn lists(reply: &Reply, header: &str, expected: &[&str]) {
    let listed = reply.header(header).to_ascii_lowercase();
    let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    for item in expected {
        assert!(listed.contains(&item.to_ascii_lowercase().as_str()), "{header} is {listed:?}");
    }
}

/// Asserts that no header allows a page to read the answer or to send the request.
fn allows_nothing(reply: &Reply) {
    let mut names = reply.headers.keys().map(reqwest::header::HeaderName::as_str);
    let found = names.find(|name| name.starts_with("access-control-allow"));
    assert_eq!(found, None, "{:?}", reply.headers);
}

#[tokio::test]
async fn without_configured_origins_no_page_is_allowed() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    for origin in ALLOWED.iter().chain(&OTHERS) {
        let request = ada.client.request("GET", "/api/v1/me").bearer_auth(&ada.token);
        let reply = app.client.send(request.header("Origin", *origin)).await.expect(200);
        allows_nothing(&reply);
        allows_nothing(&app.client.send(preflight(&ada, origin, "POST", "")).await);
    }
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_call_and_read_all_kinds_of_answers() {
    let (app, ada) = app_with_origins().await;
    for origin in ALLOWED {
        for (status, method, path) in [
            (200, "GET", "/api/v1/me"),
            (200, "GET", "/api/v1/catalog"),
            (404, "GET", "/api/v1/nowhere"),
            (405, "PUT", "/api/v1/me/clicks"),
            (400, "POST", "/api/v1/me/clicks"),
        ] {
            let request = ada.client.request(method, path).bearer_auth(&ada.token);
            let reply = app.client.send(request.header("Origin", origin)).await.expect(status);
            assert_eq!(reply.header("access-control-allow-origin"), origin, "{method} {path}");
            lists(&reply, "vary", &["Origin"]);
            let readable = ["ETag", "Idempotency-Replayed", "Retry-After", "X-Request-Id"];
            lists(&reply, "access-control-expose-headers", &readable);
            lists(&reply, "access-control-expose-headers", &["RateLimit", "RateLimit-Policy"]);
        }
    }
}

#[tokio::test]
async fn a_preflight_of_a_configured_origin_gets_the_allowed_methods_and_headers() {
    let (app, ada) = app_with_origins().await;
    let headers = "authorization, content-type, if-none-match, idempotency-key, x-request-id";
    for origin in ALLOWED {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let reply = app.client.send(preflight(&ada, origin, method, headers)).await;
            assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text);
            assert_eq!(reply.header("access-control-allow-origin"), origin);
            lists(&reply, "access-control-allow-methods", &[method]);
            lists(&reply, "access-control-allow-headers", &headers.split(", ").collect::<Vec<_>>());
            lists(&reply, "vary", &["Origin"]);
        }
    }
}

#[tokio::test]
async fn a_preflight_for_if_match_is_granted() {
    let (app, ada) = app_with_origins().await;
    let request = preflight(&ada, ALLOWED[0], "PUT", "authorization, content-type, if-match");
    let reply = app.client.send(request).await;
    assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text);
    lists(&reply, "access-control-allow-headers", &["If-Match"]);
}

/// Headers with which tracing libraries connect the spans of a page and of the server.
#[tokio::test]
async fn a_preflight_for_headers_of_tracing_or_for_none_is_granted() {
    let (app, ada) = app_with_origins().await;
    let tracing = "authorization,baggage,sentry-trace,traceparent,tracestate";
    for headers in [tracing, "", " ", ",", "authorization,, traceparent,"] {
        let request = app.client.request("OPTIONS", "/api/v1/me/clicks");
        let request = request
            .header("Origin", ALLOWED[0])
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", headers);
        let reply = app.client.send(request).await;
        assert!((200..300).contains(&reply.status), "{headers:?} {} {}", reply.status, reply.text);
        assert_eq!(reply.header("access-control-allow-origin"), ALLOWED[0], "{headers:?}");
        lists(&reply, "access-control-allow-headers", &tracing.split(',').collect::<Vec<_>>());
    }
    drop(ada);
}

#[tokio::test]
async fn origins_match_in_any_spelling_and_by_pattern() {
    let origins = "https://Play.Example.org:443/, https://*--name.example.app";
    let app = World::new().await.start_with(&[("CORS_ALLOWED_ORIGINS", origins)]).await;
    let answer = async |origin: &str| {
        let request = app.client.request("GET", "/api/v1/catalog").header("Origin", origin);
        app.client.send(request).await.expect(200)
    };
    for origin in ["https://play.example.org", "https://deploy-preview-7--name.example.app"] {
        assert_eq!(answer(origin).await.header("access-control-allow-origin"), origin);
    }
    for origin in [
        "https://name.example.app",
        "https://a.b--name.example.app",
        "https://a--name.example.app.evil.com",
    ] {
        allows_nothing(&answer(origin).await);
    }
}

#[tokio::test]
async fn other_origins_are_not_allowed() {
    let (app, ada) = app_with_origins().await;
    for origin in OTHERS {
        let request = ada.client.request("GET", "/api/v1/me").bearer_auth(&ada.token);
        let reply = app.client.send(request.header("Origin", origin)).await.expect(200);
        allows_nothing(&reply);
        lists(&reply, "vary", &["Origin"]);
        let reply = app.client.send(preflight(&ada, origin, "POST", "authorization")).await;
        allows_nothing(&reply);
    }
}

#[tokio::test]
async fn a_preflight_for_a_forbidden_method_or_header_is_not_granted() {
    let (app, ada) = app_with_origins().await;
    for (method, headers) in [("TRACE", ""), ("POST", "x-anything")] {
        let reply = app.client.send(preflight(&ada, ALLOWED[0], method, headers)).await;
        allows_nothing(&reply);
    }
}

#[tokio::test]
async fn requests_without_an_origin_are_served_and_vary_by_origin() {
    let (app, _) = app_with_origins().await;
    let reply = app.client.call("GET", "/catalog", "", None).await.expect(200);
    allows_nothing(&reply);
    lists(&reply, "vary", &["Origin"]);
}
