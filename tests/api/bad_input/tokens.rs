//! Tokens that are expired, forged, of another kind, or missing.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Row, Sender, refused};
use crate::support::tokens::{encoded, signed, token};
use crate::support::{ADMIN_TOKEN, JWT_SECRET};

const FOREIGN_SECRET: &str = "a secret of somebody else, long enough to sign with";

pub fn rows(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let send = |authorization: &str| {
        sender
            .client
            .request("POST", "/api/v1/me/clicks")
            .header("Authorization", authorization)
            .json(&json!({ "clicks": 1 }))
    };
    for (name, token) in forgeries(sender) {
        let request = send(&format!("Bearer {token}"));
        rows.push(refused(401, "unauthenticated", name, request));
    }
    for (name, authorization) in schemes(&sender.player.token) {
        rows.push(refused(401, "unauthenticated", name, send(&authorization)));
    }
    let mut expired = sender.player.claims();
    for seconds in [0, 1, 1_000_000_000] {
        expired["exp"] = json!(expired["iat"].as_i64().expect("a time") - seconds);
        let request = send(&format!("Bearer {}", token(&expired, JWT_SECRET)));
        rows.push(refused(401, "token_expired", format!("expired {seconds} s ago"), request));
    }
    let path = "/api/v1/me/clicks";
    let nobody = sender.client.request("POST", path).json(&json!({ "clicks": 1 }));
    rows.push(refused(401, "unauthenticated", "no token", nobody));
    let nobody = sender.client.request("POST", path).body("{");
    rows.push(refused(401, "unauthenticated", "no token is told before a bad body", nobody));
    let query = format!("/api/v1/me?access_token={}", sender.player.token);
    let query = sender.client.request("GET", &query);
    rows.push(refused(401, "unauthenticated", "a token in the query", query));
    for (method, path) in [
        ("GET", "/api/v1/me"),
        ("DELETE", "/api/v1/me"),
        ("GET", "/api/v1/me/ledger"),
        ("GET", "/api/v1/me/export"),
        ("GET", "/api/v1/auth/sessions"),
        ("POST", "/api/v1/auth/logout"),
        ("GET", "/api/v1/admin/players"),
    ] {
        let request = sender.client.request(method, path);
        let name = format!("{method} {path} without a token");
        rows.push(refused(401, "unauthenticated", name, request));
    }
    rows
}

/// Tokens that the server did not issue.
fn forgeries(sender: &Sender<'_>) -> Vec<(String, String)> {
    let claims = sender.player.claims();
    let real: Vec<&str> = sender.player.token.split('.').collect();
    let header = |alg: &str| json!({ "typ": "JWT", "alg": alg });
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        changed
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().expect("an object").remove(name);
        changed
    };
    let later = with("exp", json!(claims["exp"].as_i64().expect("a time") + 1_000_000));
    let mut tokens = vec![
        ("signed with another secret", token(&claims, FOREIGN_SECRET)),
        ("signed with nothing", token(&claims, "")),
        (
            "other claims under a real signature",
            format!("{}.{}.{}", real[0], encoded(&later), real[2]),
        ),
        ("a real token without its signature", format!("{}.{}.", real[0], real[1])),
        ("two parts", format!("{}.{}", real[0], real[1])),
        ("four parts", format!("{}.x", sender.player.token)),
        ("a cut-off signature", sender.player.token[..sender.player.token.len() - 4].to_owned()),
        ("of another issuer", token(&with("iss", json!("somebody")), JWT_SECRET)),
        ("of no issuer", token(&without("iss"), JWT_SECRET)),
        ("of no session", token(&without("sid"), JWT_SECRET)),
        ("without an end", token(&without("exp"), JWT_SECRET)),
        ("with an end that is a text", token(&with("exp", json!("never")), JWT_SECRET)),
        ("of a player that is no id", token(&with("sub", json!("ada' or 1=1")), JWT_SECRET)),
        ("of nobody", token(&with("sub", json!(Uuid::nil())), JWT_SECRET)),
        ("a refresh token", sender.player.refresh_token.clone()),
        ("the operators' token", ADMIN_TOKEN.to_owned()),
        ("a word", "token".to_owned()),
        ("dots", "...".to_owned()),
        ("10 kB", "a".repeat(10_000)),
    ];
    for alg in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", ""] {
        tokens.push(("another algorithm, signed", signed(&header(alg), &claims, JWT_SECRET)));
        let unsigned = format!("{}.{}.", encoded(&header(alg)), real[1]);
        tokens.push(("another algorithm, unsigned", unsigned));
    }
    let tell = |(name, token): (&str, String)| (format!("a token {name}"), token);
    tokens.into_iter().map(tell).collect()
}

/// Headers that are not a bearer token, although they contain a valid one.
fn schemes(token: &str) -> Vec<(String, String)> {
    [
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer:{token}"),
        format!("Token {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer \"{token}\""),
        token.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ]
    .into_iter()
    .map(|text| (format!("Authorization: {}", text.replace(token, "<token>")), text))
    .collect()
}
