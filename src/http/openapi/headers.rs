//! Headers and parameters that many operations share. Each is defined once as a component.

use serde_json::{Map, Value, json};

use super::{Operation, is_admin, is_limited};

/// The response headers, by component name.
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
            "description": "The remaining limits: `r` calls now, and the full limit after `t` seconds without a call.",
            "schema": { "type": "string", "examples": [r#""player";r=19;t=1"#] },
        },
        "RetryAfter": {
            "description": "Seconds to wait, rounded up.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "ETag": {
            "description": "The entity tag of the response, for `If-None-Match`.",
            "required": true,
            "schema": { "type": "string", "examples": [r#"W/"7-1-0""#] },
        },
        "IdempotencyReplayed": {
            "description": "Present if this is the outcome of an earlier request with the same key.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "WwwAuthenticate": {
            "description": "The authentication scheme.",
            "required": true,
            "schema": { "type": "string", "examples": ["Bearer"] },
        },
    })
}

/// The shared parameters, by component name.
pub fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Visible ASCII characters. Repeating a request with the same key has no further effect and \
                            returns the first outcome. Keys are valid for 24 hours, those of clicks for 10 minutes.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an earlier response. If nothing has changed since, the response is 304.",
            "schema": { "type": "string" },
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "The `ETag` of an earlier response, or a version in quotes. The request succeeds only if \
                            nothing has changed since.",
            "schema": { "type": "string", "minLength": 1 },
        },
    })
}

/// Adds references to the headers of an operation's responses.
pub fn reference(operation: &mut Operation<'_>, components: &mut Map<String, Value>) {
    let is_limited = is_limited(operation.path);
    let takes_key = operation.has_parameter("header", Some("Idempotency-Key"));
    let is_admin = is_admin(operation.path);
    for (status, response) in operation.member("responses") {
        let is_success = status < &"4".to_owned();
        let mut names = vec![("X-Request-Id", "RequestId")];
        // Calls of operators are limited only if their authentication fails.
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
