//! Limits as callers see them: how much is allowed, what answers say about it, and what is not limited.

use std::collections::HashSet;

use reqwest::RequestBuilder;
use serde_json::json;

use super::{LIMITED, counted};
use crate::support::schema::Schemas;
use crate::support::{ADMIN_TOKEN, Player, Reply, TestApp, World};

async fn limited() -> (TestApp, Player) {
    let app = World::new().await.start_with(&LIMITED).await;
    let ada = app.client.guest().await;
    (app, ada)
}

#[tokio::test]
async fn a_player_may_use_the_burst_and_the_rate() {
    let (app, ada) = limited().await;
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
async fn a_refusal_of_a_call_with_a_body_keeps_the_connection() {
    let (app, ada) = limited().await;
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
async fn a_refusal_says_exactly_how_long_to_wait() {
    let (app, ada) = limited().await;
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
async fn retry_after_is_rounded_up_to_whole_seconds() {
    let app = World::new().await.start_with(&LIMITED).await;
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
async fn every_answer_of_a_limited_call_has_rate_limit_headers() {
    let (app, ada) = limited().await;
    let at = |method: &str, path: &str| app.client.request(method, &format!("/api/v1{path}"));
    let own = |method: &str, path: &str| at(method, path).bearer_auth(&ada.token);
    let calls: Vec<(u16, &str, RequestBuilder)> = vec![
        (200, "player", own("GET", "/me")),
        (304, "player", own("GET", "/me").header("If-None-Match", "*")),
        (200, "player", own("HEAD", "/catalog")),
        (200, "player", own("POST", "/me/clicks").json(&json!({ "clicks": 1 }))),
        (204, "player", own("DELETE", "/auth/sessions")),
        (400, "player", own("POST", "/me/clicks").json(&json!({ "klicks": 1 }))),
        (403, "player", own("GET", "/admin/players")),
        (404, "player", own("GET", "/nowhere")),
        (405, "player", own("PUT", "/me/clicks")),
        (409, "player", own("POST", "/me/prestige").json(&json!({}))),
        (415, "player", own("POST", "/me/clicks").body("{}")),
        (422, "player", own("POST", "/me/clicks").json(&json!({ "clicks": 0 }))),
        (200, "address", at("GET", "/catalog")),
        (304, "address", at("GET", "/catalog").header("If-None-Match", "*")),
        (401, "address", at("GET", "/me")),
        (401, "address", at("GET", "/me").bearer_auth("no.such.token")),
        (401, "address", at("GET", "/me").header("Authorization", "Basic abc")),
        (401, "address", at("GET", "/admin/players").bearer_auth("not the operators' token")),
        (401, "address", at("POST", "/auth/refresh").json(&json!({ "refresh_token": "none" }))),
        (404, "address", at("GET", "/nowhere")),
        (201, "auth", at("POST", "/auth/guest").json(&json!({}))),
        (400, "auth", at("POST", "/auth/register").json(&json!({}))),
    ];
    for (status, policy, request) in calls {
        let what = format!("{request:?}");
        let reply = app.client.send(request).await;
        assert_eq!(reply.status, status, "{what} {}", reply.text);
        let named = format!("\"{policy}\";");
        for header in ["ratelimit", "ratelimit-policy"] {
            assert!(reply.header(header).starts_with(&named), "{what} {:?}", reply.headers);
            assert_eq!(reply.headers.get_all(header).iter().count(), 1, "{what}");
        }
    }
}

fn is_unlimited(reply: &Reply) {
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), ("", ""));
}

#[tokio::test]
async fn probes_documents_preflights_and_operators_are_not_limited() {
    let origin = ("CORS_ALLOWED_ORIGINS", "https://play.example.org");
    let app = World::new().await.start_with(&[&LIMITED[..], &[origin]].concat()).await;
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
            is_unlimited(&app.client.send(request).await.expect(200));
        }
        is_unlimited(
            &app.client.send(app.client.request("OPTIONS", "/api/v1/me")).await.expect(204),
        );
    }
    // A page can read that and the reason of the refusal.
    let request = app.client.request("GET", "/api/v1/catalog").header("Origin", origin.1);
    let refused = app.client.send(request).await.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), origin.1);
}

#[tokio::test]
async fn invalid_tokens_are_limited_by_address() {
    let (app, ada) = limited().await;
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
async fn a_call_of_several_actions_costs_several_tokens() {
    let (_, ada) = limited().await;
    let left = |reply: Reply| -> u32 {
        let text = reply.header("ratelimit").to_owned();
        text.split(';').find_map(|it| it.strip_prefix("r=")?.parse().ok()).expect("a number")
    };
    let before = left(ada.get("/me").await);
    assert_eq!(left(ada.get("/me/export").await.expect(200)), before - 4);
}

#[tokio::test]
async fn a_rate_of_zero_is_no_limit() {
    let off = [("RATE_LIMIT_PER_SECOND", "0"), ("RATE_LIMIT_AUTH_PER_MINUTE", "0")];
    let app = World::new().await.start_with(&off).await;
    let ada = app.client.guest().await;
    for _ in 0..50 {
        is_unlimited(&ada.get("/me").await.expect(200));
        is_unlimited(&app.client.call("GET", "/catalog", "", None).await.expect(200));
    }
    assert_eq!(counted(&app, "player", "local", "allowed"), 0);
}

#[tokio::test]
async fn decisions_are_counted_by_policy_store_and_outcome() {
    let (app, ada) = limited().await;
    for _ in 0..25 {
        ada.get("/me").await;
    }
    assert_eq!(counted(&app, "player", "local", "allowed"), 20);
    assert_eq!(counted(&app, "player", "local", "refused"), 5);
    assert_eq!(counted(&app, "auth", "local", "allowed"), 1);
}

#[tokio::test]
async fn refusals_have_distinct_request_ids() {
    let (_, ada) = limited().await;
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
                let told = response["headers"]["RateLimit"].is_object();
                // Operators are limited only until they have sent their token.
                let operators = path.starts_with("/api/v1/admin/") && status.starts_with('2');
                assert_eq!(told, !operators, "{path} {status}");
                assert_eq!(response["headers"]["RateLimit-Policy"].is_object(), told);
            }
        }
    }
    assert!(limited > 20, "{limited}");
}
