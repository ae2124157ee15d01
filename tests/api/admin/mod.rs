//! The operators' API, and who may not use it.

mod catalogue;
mod catalogue_faults;
mod catalogue_texts;
mod players;
mod search;

use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::{ADMIN_TOKEN, Client, TestApp, World};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// Every admin route, with a valid body if it takes one.
fn every_route(client: &Client) -> Vec<RequestBuilder> {
    let at = |method: &str, path: &str| client.request(method, &format!("/api/v1/admin{path}"));
    let player = |call: &str| format!("/players/{NOBODY}{call}");
    let grant = json!({ "energy": 1, "reason": "a test" });
    vec![
        at("GET", "/catalog"),
        at("PUT", "/catalog").json(&json!({ "generators": [], "upgrades": [] })),
        at("GET", "/jobs"),
        at("POST", &format!("/jobs/{NOBODY}/retry")),
        at("DELETE", &format!("/jobs/{NOBODY}")),
        at("GET", "/players"),
        at("GET", &player("")),
        at("POST", &player("/ban")).json(&json!({})),
        at("POST", &player("/unban")).json(&json!({})),
        at("POST", &player("/grant")).json(&grant),
    ]
}

#[tokio::test]
async fn without_a_configured_token_there_are_no_admin_routes() {
    let app = World::new().await.start_with(&[("ADMIN_TOKEN", "")]).await;
    let guest = app.client.guest().await;
    for token in ["", ADMIN_TOKEN, &guest.token] {
        for request in every_route(&app.client) {
            let reply = app.client.send(request.bearer_auth(token)).await;
            reply.expect_problem(404, "not_found");
        }
    }
    for request in every_route(&app.client) {
        app.client.send(request).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn without_a_configured_token_admin_paths_answer_like_unknown_paths() {
    let app = World::new().await.start_with(&[("ADMIN_TOKEN", "")]).await;
    for (method, path) in [
        ("POST", "/api/v1/admin/catalog"),
        ("PATCH", "/api/v1/admin/players"),
        ("OPTIONS", "/api/v1/admin/players"),
    ] {
        let reply = app.client.send(app.client.request(method, path)).await;
        assert_eq!(reply.header("allow"), "", "{method} {path}");
        reply.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn admin_routes_need_the_operator_token() {
    let app = TestApp::new().await;
    let longer = format!("{ADMIN_TOKEN}x");
    let upper = ADMIN_TOKEN.to_uppercase();
    for request in every_route(&app.client) {
        let reply = app.client.send(request).await.expect_problem(401, "unauthenticated");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
    }
    for token in ["x", &longer, &upper, &ADMIN_TOKEN[1..]] {
        for request in every_route(&app.client) {
            let reply = app.client.send(request.bearer_auth(token)).await;
            reply.expect_problem(401, "unauthenticated");
        }
    }
    for request in every_route(&app.client) {
        let reply = app.client.send(request.basic_auth("admin", Some(ADMIN_TOKEN))).await;
        reply.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn admin_routes_refuse_the_tokens_of_players() {
    let app = TestApp::new().await;
    let ada = app.client.register("ada").await;
    for request in every_route(&app.client) {
        let reply = app.client.send(request.bearer_auth(&ada.token)).await;
        reply.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn player_routes_refuse_the_operator_token() {
    let app = TestApp::new().await;
    let reply = app.client.call("GET", "/me", ADMIN_TOKEN, None).await;
    reply.expect_problem(401, "unauthenticated");
}
