//! Headers and parameters that many operations share. Each is described once.

use serde_json::{Map, Value, json};

use super::{Operation, is_admin, is_limited};

/// The headers of answers, by the names of their components.
pub fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The id of the request: the client's `X-Request-Id` if it sent a valid one.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        },
        "RateLimitPolicy": {
            "description": "The limits that applied: at most `q` calls in `w` seconds.",
            "schema": { "type": "string", "examples": [r#""player";q=20;w=2"#] },
        },
        "RateLimit": {
            "description": "What is left of the limits: `r` calls now, all after `t` seconds without a call.",
            "schema": { "type": "string", "examples": [r#""player";r=19;t=1"#] },
        },
        "RetryAfter": {
            "description": "Seconds to wait, rounded up.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "ETag": {
            "description": "The entity tag of the answer, for `If-None-Match`.",
            "required": true,
            "schema": { "type": "string", "examples": [r#"W/"7-1-0""#] },
        },
        "IdempotencyReplayed": {
            "description": "Present if this is the outcome of an earlier request with the same key.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "WwwAuthenticate": {
            "description": "How to sign in.",
            "required": true,
            "schema": { "type": "string", "examples": ["Bearer"] },
        },
    })
}

/// The shared parameters, by the names of their components.
pub fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Visible ASCII. A repeat with the same key has no further effect, and is answered with the first \
                            outcome. Keys count for 24 hours, those of clicks for 10 minutes.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an earlier answer. If nothing has changed since, the answer is 304.",
            "schema": { "type": "string" },
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "The `ETag` of an earlier answer, or a version in quotes. The request succeeds only if nothing has changed since.",
            "schema": { "type": "string", "minLength": 1 },
        },
    })
}

/// Adds references to the headers of an operation's answers.
pub fn reference(operation: &mut Operation<'_>, components: &mut Map<String, Value>) {
    let is_limited = is_limited(operation.path);
    let takes_key = operation.has_parameter("header", Some("Idempotency-Key"));
    let is_admin = is_admin(operation.path);
    for (status, response) in operation.member("responses") {
        let is_success = status < &"4".to_owned();
        let mut names = vec![("X-Request-Id", "RequestId")];
        // Operators are limited only while they are not authenticated.
        if is_limited && !(is_admin && is_success) {
            names.extend([("RateLimit-Policy", "RateLimitPolicy"), ("RateLimit", "RateLimit")]);
        }
        if is_success && takes_key {
            names.push(("Idempotency-Replayed", "IdempotencyReplayed"));
        }
        match status.as_str() {
            "401" => names.push(("WWW-Authenticate", "WwwAuthenticate")),
            "429" | "503" => names.push(("Retry-After", "RetryAfter")),
            "304" => names.push(("ETag", "ETag")),
            _ if response.pointer("/headers/ETag").is_some() => names.push(("ETag", "ETag")),
            _ => {}
        }
        let shared = response["$ref"].as_str().and_then(|it| it.rsplit('/').next());
        let response = match shared.map(str::to_owned) {
            Some(name) => &mut components[&name],
            None => response,
        };
        let references = names.into_iter().map(|(header, name)| {
            (header.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
        });
        response["headers"] = references.collect::<Map<_, _>>().into();
    }
}
