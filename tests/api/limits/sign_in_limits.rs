//! The stricter limits of signing in, and how the server determines the client's address for them.

use serde_json::json;

use super::DEFAULT_LIMITS;
use crate::support::{PASSWORD, Reply, TestApp, World};

/// A server behind one trusted proxy, so that a test can send any client address.
async fn start_behind_proxy() -> TestApp {
    let options = [&DEFAULT_LIMITS[..], &[("TRUSTED_PROXY_HOPS", "1")]].concat();
    World::new().await.start_with(&options).await
}

async fn log_in(app: &TestApp, address: &str, username: &str, password: &str) -> Reply {
    let request = app.client.request("POST", "/api/v1/auth/login");
    let request = request.header("X-Forwarded-For", address);
    app.client.send(request.json(&json!({ "username": username, "password": password }))).await
}

#[tokio::test]
async fn login_register_and_guest_calls_of_an_address_share_one_bucket() {
    let app = World::new().await.start_with(&DEFAULT_LIMITS).await;
    let paths = ["/auth/guest", "/auth/register", "/auth/login"];
    let mut statuses = Vec::new();
    for number in 0..33 {
        // Neither the body nor the spelling of the path matters.
        let path = paths[number % 3].replace("/auth/l", "/auth/%6C");
        statuses.push(app.client.call("POST", &path, "", Some(json!({ "x": 1 }))).await.status);
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 3, "{statuses:?}");
    assert_eq!(statuses[30..], [429; 3]);
    // Refreshing tokens is not limited as signing in.
    let body = json!({ "refresh_token": "none" });
    app.client.call("POST", "/auth/refresh", "", Some(body)).await.expect(401);
    app.advance(2.0);
    app.client.guest().await;
    let reply = app.client.call("POST", "/auth/guest", "", Some(json!({}))).await;
    reply.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn password_guesses_from_many_addresses_are_limited_and_the_owner_can_sign_in_again() {
    let app = start_behind_proxy().await;
    app.client.register("ada").await;
    let ada = log_in(&app, "198.51.100.1", "ada", PASSWORD).await.expect(200);
    let mut guesses = 0;
    for number in 0..60 {
        let reply = log_in(&app, &format!("192.0.2.{number}"), "ADA", "a wrong guess").await;
        guesses += u32::from(reply.status == 401);
        if reply.status == 429 {
            assert_eq!(reply.json["policy"], "login");
            assert_eq!(reply.header("ratelimit-policy"), "\"auth\";q=30;w=60, \"login\";q=20;w=60");
        }
    }
    assert_eq!(guesses, 19);
    // Others can sign in, and the owner's sessions continue.
    log_in(&app, "198.51.100.2", "bob", "another's password").await.expect(401);
    let token = ada.json["tokens"]["access_token"].as_str().expect("a token");
    app.client.call("GET", "/me", token, None).await.expect(200);
    let refused = log_in(&app, "198.51.100.1", "ada", PASSWORD).await.expect(429);
    let wait = refused.json["retry_after_ms"].as_f64().expect("a number");
    assert!(wait <= 3000.0, "{wait}");
    app.advance(wait / 1e3);
    let reply = log_in(&app, "198.51.100.1", "ada", PASSWORD).await.expect(200);
    assert!(reply.header("ratelimit").contains("\"login\";r=0;t="), "{:?}", reply.headers);
}

/// How many of 30 calls without a token are allowed; `headers` returns the headers of each.
async fn count_allowed(
    app: &TestApp,
    headers: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> usize {
    let mut allowed = 0;
    for number in 0..30 {
        let mut request = app.client.request("GET", "/api/v1/catalog");
        for (header, value) in headers(number) {
            request = request.header(header, value);
        }
        allowed += usize::from(app.client.send(request).await.status == 200);
    }
    allowed
}

#[tokio::test]
async fn without_trusted_proxies_forwarded_headers_are_ignored() {
    let app = World::new().await.start_with(&DEFAULT_LIMITS).await;
    let forged = |number: usize| {
        vec![
            ("X-Forwarded-For", format!("192.0.2.{number}")),
            ("Forwarded", format!("for=192.0.2.{number}")),
            ("X-Real-IP", format!("192.0.2.{number}")),
            ("True-Client-IP", format!("192.0.2.{number}")),
        ]
    };
    assert_eq!(count_allowed(&app, forged).await, 20);
}

#[tokio::test]
async fn behind_a_trusted_proxy_only_the_address_that_the_proxy_added_counts() {
    let app = start_behind_proxy().await;
    let appended_to_forged = |client: &'static str| {
        move |number: usize| vec![("X-Forwarded-For", format!("192.0.2.{number}, {client}"))]
    };
    assert_eq!(count_allowed(&app, appended_to_forged("198.51.100.1")).await, 20);
    assert_eq!(count_allowed(&app, appended_to_forged("198.51.100.2")).await, 20);
    let standard = |number: usize| {
        vec![("Forwarded", format!("for=192.0.2.{number}, for=198.51.100.3;proto=https"))]
    };
    assert_eq!(count_allowed(&app, standard).await, 20);
    // An address of the same /64, or the same address in another notation, is the same client.
    let same_network = |number: usize| vec![("X-Forwarded-For", format!("2001:db8::{number}"))];
    assert_eq!(count_allowed(&app, same_network).await, 20);
    let other_notation = |number: usize| {
        let prefix = if number.is_multiple_of(2) { "" } else { "::ffff:" };
        vec![("X-Forwarded-For", format!("{prefix}198.51.100.4"))]
    };
    assert_eq!(count_allowed(&app, other_notation).await, 20);
    let distinct = |number: usize| vec![("X-Forwarded-For", format!("203.0.113.{number}"))];
    assert_eq!(count_allowed(&app, distinct).await, 30);
}
