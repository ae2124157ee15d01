//! What is true of every answer.

use std::collections::{BTreeSet, HashSet};

use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::support::{ADMIN_TOKEN, Player, TestApp, World};

const ORIGIN: &str = "https://play.example.org";

/// A request for each kind of answer, with the status.
fn every_kind(player: &Player) -> Vec<(u16, RequestBuilder)> {
    let at = |method: &str, path: &str| player.client.request(method, path);
    let own = |method: &str, path: &str| at(method, path).bearer_auth(&player.token);
    let clicks = || own("POST", "/api/v1/me/clicks");
    let json = |request: RequestBuilder, body: &'static str| {
        request.header("Content-Type", "application/json").body(body)
    };
    let preflight = |origin: &'static str| {
        at("OPTIONS", "/api/v1/me")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
    };
    let crank = "/api/v1/me/generators/hand_crank/purchase";
    vec![
        (200, at("GET", "/healthz")),
        (200, at("GET", "/readyz")),
        (200, at("GET", "/openapi.json")),
        (200, at("GET", "/asyncapi.json")),
        (200, at("GET", "/docs")),
        (200, at("GET", "/docs/")),
        (200, at("GET", "/api/v1/catalog")),
        (200, at("HEAD", "/api/v1/catalog")),
        (304, at("GET", "/api/v1/catalog").header("If-None-Match", "*")),
        (200, own("GET", "/api/v1/me")),
        (304, own("GET", "/api/v1/me").header("If-None-Match", "*")),
        (201, json(at("POST", "/api/v1/auth/guest"), "{}")),
        (204, own("DELETE", "/api/v1/auth/sessions")),
        (200, json(clicks(), r#"{"clicks":1}"#)),
        (400, json(clicks(), "{")),
        (400, own("GET", "/api/v1/me/ledger?limit=0")),
        (401, at("GET", "/api/v1/me")),
        (403, own("GET", "/api/v1/admin/players")),
        (200, at("GET", "/api/v1/admin/players").bearer_auth(ADMIN_TOKEN)),
        (404, at("GET", "/nowhere")),
        (404, at("GET", "/api/v1/nowhere")),
        (404, at("GET", "/api/v1/players/%ff")),
        (404, at("HEAD", "/api/v1/nowhere")),
        (405, at("PUT", "/api/v1/me/clicks")),
        (405, at("BREW", "/healthz")),
        (409, json(own("POST", crank), r#"{"quantity":1000000}"#)),
        (413, json(clicks(), "").body(" ".repeat(70_000))),
        (415, clicks().body("{}")),
        (422, json(clicks(), r#"{"clicks":0}"#)),
        (200, preflight(ORIGIN)),
        (400, preflight("https://elsewhere.example.org")),
        (204, at("OPTIONS", "/api/v1/me")),
        (404, at("OPTIONS", "/api/v1/nowhere")),
    ]
}

async fn app_with_cors() -> (TestApp, Player) {
    let app = World::new().await.start_with(&[("CORS_ALLOWED_ORIGINS", ORIGIN)]).await;
    let ada = app.client.register("ada").await;
    (app, ada)
}

#[tokio::test]
async fn every_answer_carries_the_callers_request_id() {
    let (app, ada) = app_with_cors().await;
    for (status, request) in every_kind(&ada) {
        let what = format!("{request:?}");
        let reply = app.client.send(request.header("X-Request-Id", "mine-1.2:3_4")).await;
        assert_eq!(reply.status, status, "{what} {}", reply.text);
        assert_eq!(reply.header("x-request-id"), "mine-1.2:3_4", "{what}");
        assert_eq!(reply.headers.get_all("x-request-id").iter().count(), 1, "{what}");
    }
}

#[tokio::test]
async fn every_answer_has_a_generated_request_id_if_the_caller_sent_none() {
    let (app, ada) = app_with_cors().await;
    let mut seen = HashSet::new();
    for (_, request) in every_kind(&ada) {
        let what = format!("{request:?}");
        let id = app.client.send(request).await.header("x-request-id").to_owned();
        assert!(id.len() >= 16, "{what}: {id:?}");
        assert!(seen.insert(id), "{what}: an id came twice");
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_must_not_be_stored() {
    let (app, ada) = app_with_cors().await;
    let expected = ["type", "title", "status", "detail", "code", "request_id"];
    for (status, request) in every_kind(&ada) {
        let head = format!("{request:?}").contains("HEAD");
        if status < 400 {
            continue;
        }
        let what = format!("{request:?}");
        let reply = app.client.send(request).await;
        assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(reply.header("cache-control"), "no-store", "{what}");
        if head {
            assert_eq!(reply.text, "", "{what}");
            continue;
        }
        let problem = &reply.json;
        for member in expected {
            assert!(!problem[member].is_null(), "{what} has no {member}: {}", reply.text);
        }
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], reply.header("x-request-id"));
        assert_eq!(problem["type"], format!("urn:idlewatt:problem:{}", reply.code()));
        for error in problem["errors"].as_array().into_iter().flatten() {
            assert!(error["field"].is_string() && error["message"].is_string(), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn an_invalid_request_id_is_replaced() {
    let app = TestApp::new().await;
    let long = "x".repeat(5_000);
    for id in [
        &b""[..],
        b" ",
        b"with space",
        b"a\tb",
        b"<script>",
        b"\"quoted\"",
        b"{\"a\":1}",
        b"caf\xc3\xa9",
        b"\xff",
        long.as_bytes(),
    ] {
        let value = HeaderValue::from_bytes(id).expect("a value");
        for path in ["/healthz", "/api/v1/nowhere"] {
            let request = app.client.request("GET", path).header("X-Request-Id", value.clone());
            let reply = app.client.send(request).await;
            let given = reply.header("x-request-id");
            assert!(given.len() >= 16 && given.len() < 200, "{id:?} led to {given:?}");
            assert_ne!(given.as_bytes(), id);
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    let names = |headers: &reqwest::header::HeaderMap| -> BTreeSet<String> {
        headers.keys().map(ToString::to_string).collect()
    };
    for path in [
        "/healthz",
        "/openapi.json",
        "/asyncapi.json",
        "/docs",
        "/docs/",
        "/api/v1/catalog",
        "/api/v1/me",
        "/api/v1/me/ledger",
        "/api/v1/me/export",
        "/api/v1/auth/sessions",
        &format!("/api/v1/players/{}", ada.id),
        "/api/v1/nowhere",
    ] {
        let ask = async |method: &str| {
            app.client.send(app.client.request(method, path).bearer_auth(&ada.token)).await
        };
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.text, "", "{path}");
        assert_eq!(names(&head.headers), names(&get.headers), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_method_is_answered_with_the_allowed_ones() {
    let app = TestApp::new().await;
    for (path, expected) in [
        ("/healthz", &["GET", "HEAD"][..]),
        ("/api/v1/catalog", &["GET", "HEAD"]),
        ("/api/v1/me", &["GET", "HEAD", "PATCH", "DELETE"]),
        ("/api/v1/me/clicks", &["POST"]),
        ("/api/v1/auth/sessions", &["GET", "HEAD", "DELETE"]),
        ("/api/v1/auth/sessions/x", &["DELETE"]),
        ("/api/v1/admin/catalog", &["GET", "HEAD", "PUT"]),
    ] {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        for (method, status) in [("BREW", 405), ("TRACE", 405), ("OPTIONS", 204)] {
            let reply = app.client.send(app.client.request(method, path)).await.expect(status);
            let allowed: BTreeSet<&str> = reply.header("allow").split(", ").collect();
            assert_eq!(allowed, expected, "{method} {path}");
        }
    }
    let head = app.client.request("HEAD", "/api/v1/me/clicks");
    assert_eq!(app.client.send(head).await.expect(405).header("allow"), "POST");
}

#[tokio::test]
async fn readiness_reports_the_state_of_each_part() {
    let app = TestApp::new().await;
    let healthz = app.client.send(app.client.request("GET", "/healthz")).await.expect(200);
    assert_eq!(healthz.json, json!({ "status": "ok" }));
    let readyz = app.client.send(app.client.request("GET", "/readyz")).await.expect(200);
    assert_eq!(readyz.json["status"], "ok", "{}", readyz.text);
    let checks = readyz.json["checks"].as_object().expect("checks");
    let names: BTreeSet<&str> = checks.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["postgres", "redis", "jobs"]));
    for (name, check) in checks {
        assert!(check["status"].is_string(), "{name}: {check}");
        assert!(
            check["latency_ms"].is_number() || check["latency_ms"].is_null(),
            "{name}: {check}"
        );
    }
    assert_eq!(checks["postgres"]["status"], "ok");
    assert!(checks["postgres"]["latency_ms"].as_f64().expect("a time") >= 0.0);
    for reply in [healthz, readyz] {
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}
