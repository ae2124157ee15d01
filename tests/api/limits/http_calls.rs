//! Limits as HTTP clients see them: how many calls are allowed, which headers say so, and which calls are not limited.

use std::collections::HashSet;

use reqwest::RequestBuilder;
use serde_json::json;

use super::{DEFAULT_LIMITS, decision_count};
use crate::support::schema::Schemas;
use crate::support::{ADMIN_TOKEN, Player, Reply, TestApp, World};

async fn start_limited() -> (TestApp, Player) {
    let app = World::new().await.start_with(&DEFAULT_LIMITS).await;
    let ada = app.client.guest().await;
    (app, ada)
}

#[tokio::test]
async fn a_player_may_spend_the_full_bucket_and_then_what_is_refilled() {
    let (app, ada) = start_limited().await;
    for left in (0..20).rev() {
        let reply = ada.get("/me").await.expect(200);
        assert_eq!(reply.header("ratelimit-policy"), "\"player\";q=20;w=2");
        let full = (20 - left + 9) / 10;
        assert_eq!(reply.header("ratelimit"), format!("\"player\";r={left};t={full}"));
    }
    ada.get("/me").await.expect_problem(429, "rate_limited");
    app.advance(0.35);
    for _ in 0..3 {
        ada.get("/me").await.expect(200);
    }
    ada.get("/me").await.expect_problem(429, "rate_limited");
    // Another player is not affected.
    app.client.guest().await.get("/me").await.expect(200);
}

#[tokio::test]
async fn refusing_a_call_with_a_body_keeps_the_connection_open() {
    let (app, ada) = start_limited().await;
    while ada.get("/me").await.status == 200 {}
    let click = format!(
        "POST /api/v1/me/clicks HTTP/1.1\r\nHost: idlewatt\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"clicks\":1}}",
        ada.token
    );
    for reply in app.client.send_raw_often(click, 3).await {
        reply.expect_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn a_refusal_contains_the_exact_wait() {
    let (app, ada) = start_limited().await;
    while ada.get("/me").await.status == 200 {}
    for offset in [0.0, 0.013, 0.0995] {
        app.advance(offset);
        let refused = ada.get("/me").await.expect_problem(429, "rate_limited");
        let millis = refused.json["retry_after_ms"].as_u64().expect("a number");
        assert!((1..=100).contains(&millis), "{millis}");
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(refused.header("ratelimit"), "\"player\";r=0;t=1");
        assert_eq!(refused.header("ratelimit-policy"), "\"player\";q=20;w=2");
        assert_eq!(refused.json["policy"], "player");
        if millis > 10 {
            app.advance((millis as f64 - 10.0) / 1e3);
            ada.get("/me").await.expect(429);
            app.advance(0.01);
        } else {
            app.advance(millis as f64 / 1e3);
        }
        ada.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn retry_after_rounds_the_wait_up_to_whole_seconds() {
    let app = World::new().await.start_with(&DEFAULT_LIMITS).await;
    let guest = || app.client.call("POST", "/auth/guest", "", Some(json!({})));
    while guest().await.status == 201 {}
    app.advance(0.4);
    let refused = guest().await.expect_problem(429, "rate_limited");
    assert_eq!(
        (refused.json["retry_after_ms"].as_u64(), refused.header("retry-after")),
        (Some(1600), "2")
    );
    app.advance(1.59);
    guest().await.expect(429);
    app.advance(0.01);
    guest().await.expect(201);
}

#[tokio::test]
async fn every_response_of_a_limited_call_has_rate_limit_headers() {
    let (app, ada) = start_limited().await;
    let public = |method: &str, path: &str| app.client.request(method, &format!("/api/v1{path}"));
    let authenticated = |method: &str, path: &str| public(method, path).bearer_auth(&ada.token);
    let calls: Vec<(u16, &str, RequestBuilder)> = vec![
        (200, "player", authenticated("GET", "/me")),
        (304, "player", authenticated("GET", "/me").header("If-None-Match", "*")),
        (200, "player", authenticated("HEAD", "/catalog")),
        (200, "player", authenticated("POST", "/me/clicks").json(&json!({ "clicks": 1 }))),
        (204, "player", authenticated("DELETE", "/auth/sessions")),
        (400, "player", authenticated("POST", "/me/clicks").json(&json!({ "klicks": 1 }))),
        (403, "player", authenticated("GET", "/admin/players")),
        (404, "player", authenticated("GET", "/nowhere")),
        (405, "player", authenticated("PUT", "/me/clicks")),
        (409, "player", authenticated("POST", "/me/prestige").json(&json!({}))),
        (415, "player", authenticated("POST", "/me/clicks").body("{}")),
        (422, "player", authenticated("POST", "/me/clicks").json(&json!({ "clicks": 0 }))),
        (200, "address", public("GET", "/catalog")),
        (304, "address", public("GET", "/catalog").header("If-None-Match", "*")),
        (401, "address", public("GET", "/me")),
        (401, "address", public("GET", "/me").bearer_auth("no.such.token")),
        (401, "address", public("GET", "/me").header("Authorization", "Basic abc")),
        (401, "address", public("GET", "/admin/players").bearer_auth("not the operators' token")),
        (401, "address", public("POST", "/auth/refresh").json(&json!({ "refresh_token": "none" }))),
        (404, "address", public("GET", "/nowhere")),
        (201, "auth", public("POST", "/auth/guest").json(&json!({}))),
        (400, "auth", public("POST", "/auth/register").json(&json!({}))),
    ];
    for (status, policy, request) in calls {
        let what = format!("{request:?}");
        let reply = app.client.send(request).await;
        assert_eq!(reply.status, status, "{what} {}", reply.text);
        let expected = format!("\"{policy}\";");
        for header in ["ratelimit", "ratelimit-policy"] {
            assert!(reply.header(header).starts_with(&expected), "{what} {:?}", reply.headers);
            assert_eq!(reply.headers.get_all(header).iter().count(), 1, "{what}");
        }
    }
}

fn assert_unlimited(reply: &Reply) {
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), ("", ""));
}

#[tokio::test]
async fn probes_documents_preflights_and_operator_calls_are_not_limited() {
    let origin = ("CORS_ALLOWED_ORIGINS", "https://play.example.org");
    let app = World::new().await.start_with(&[&DEFAULT_LIMITS[..], &[origin]].concat()).await;
    while app.client.call("GET", "/catalog", "", None).await.status == 200 {}
    let preflight = |path: &str| {
        let request = app.client.request("OPTIONS", path).header("Origin", origin.1);
        request.header("Access-Control-Request-Method", "GET")
    };
    for _ in 0..30 {
        for request in [
            app.client.request("GET", "/healthz"),
            app.client.request("GET", "/readyz"),
            app.client.request("GET", "/openapi.json"),
            app.client.request("GET", "/docs/"),
            preflight("/api/v1/catalog"),
            preflight("/api/v1/auth/login"),
            app.client.request("GET", "/api/v1/admin/players").bearer_auth(ADMIN_TOKEN),
        ] {
            assert_unlimited(&app.client.send(request).await.expect(200));
        }
        assert_unlimited(
            &app.client.send(app.client.request("OPTIONS", "/api/v1/me")).await.expect(204),
        );
    }
    // A browser lets a page of the allowed origin read the refusal.
    let request = app.client.request("GET", "/api/v1/catalog").header("Origin", origin.1);
    let refused = app.client.send(request).await.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), origin.1);
}

#[tokio::test]
async fn calls_with_invalid_tokens_are_limited_by_address() {
    let (app, ada) = start_limited().await;
    let ended = app.client.guest().await;
    ended.post("/auth/logout", json!({})).await.expect(204);
    let mut refused = 0;
    for number in 0..30 {
        let forged = format!("{}.{number}", ada.token);
        let token = if number % 2 == 0 { &forged } else { &ended.token };
        let reply = app.client.call("GET", "/me", token, None).await;
        refused += u32::from(reply.status == 429);
    }
    assert_eq!(refused, 10);
    ada.get("/me").await.expect(200);
}

#[tokio::test]
async fn an_expensive_call_costs_several_tokens() {
    let (_, ada) = start_limited().await;
    let left = |reply: Reply| -> u32 {
        let text = reply.header("ratelimit").to_owned();
        text.split(';').find_map(|it| it.strip_prefix("r=")?.parse().ok()).expect("a number")
    };
    let before = left(ada.get("/me").await);
    assert_eq!(left(ada.get("/me/export").await.expect(200)), before - 4);
}

#[tokio::test]
async fn a_rate_of_zero_disables_the_limit() {
    let off = [("RATE_LIMIT_PER_SECOND", "0"), ("RATE_LIMIT_AUTH_PER_MINUTE", "0")];
    let app = World::new().await.start_with(&off).await;
    let ada = app.client.guest().await;
    for _ in 0..50 {
        assert_unlimited(&ada.get("/me").await.expect(200));
        assert_unlimited(&app.client.call("GET", "/catalog", "", None).await.expect(200));
    }
    assert_eq!(decision_count(&app, "player", "local", "allowed"), 0);
}

#[tokio::test]
async fn decisions_are_counted_by_policy_store_and_outcome() {
    let (app, ada) = start_limited().await;
    for _ in 0..25 {
        ada.get("/me").await;
    }
    assert_eq!(decision_count(&app, "player", "local", "allowed"), 20);
    assert_eq!(decision_count(&app, "player", "local", "refused"), 5);
    assert_eq!(decision_count(&app, "auth", "local", "allowed"), 1);
}

#[tokio::test]
async fn every_refusal_has_its_own_request_id() {
    let (_, ada) = start_limited().await;
    let mut seen = HashSet::new();
    for _ in 0..30 {
        let reply = ada.get("/me").await;
        assert!(seen.insert(reply.header("x-request-id").to_owned()));
    }
}

#[tokio::test]
async fn the_openapi_document_describes_the_limits() {
    let app = TestApp::new().await;
    let reply = app.client.send(app.client.request("GET", "/openapi.json")).await.expect(200);
    let schemas = Schemas(&reply.json);
    let paths = reply.json["paths"].as_object().expect("paths");
    let mut limited = 0;
    for (path, item) in paths {
        for operation in item.as_object().expect("an item").values() {
            let Some(responses) = operation["responses"].as_object() else { continue };
            if !path.starts_with("/api/v1/") {
                assert!(!responses.contains_key("429"), "{path}");
                continue;
            }
            limited += 1;
            let refused = schemas.resolve(&responses["429"]);
            assert!(refused["headers"]["Retry-After"].is_object(), "{path}");
            for (status, response) in responses {
                let response = schemas.resolve(response);
                let documented = response["headers"]["RateLimit"].is_object();
                // Operators are limited only until they have sent their token.
                let is_operator_success =
                    path.starts_with("/api/v1/admin/") && status.starts_with('2');
                assert_eq!(documented, !is_operator_success, "{path} {status}");
                assert_eq!(response["headers"]["RateLimit-Policy"].is_object(), documented);
            }
        }
    }
    assert!(limited > 20, "{limited}");
}
