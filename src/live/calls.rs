//! Calls of the API over a connection.

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::protocol::{Call, server};
use crate::api::problem::{Code, Problem};

/// The largest number of calls of a connection in flight.
pub const MOST_CALLS: u8 = 8;
/// Milliseconds after which a call that was refused for that reason may be repeated.
const RETRY_MILLIS: u64 = 100;
/// The largest body of an answer. Larger ones are given over HTTP only.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// What may be called: the beginnings of paths.
const SCOPES: [&str; 4] = ["me", "rooms", "chat", "bookings"];
/// Paths within these scopes that are served over HTTP only: their answers are files.
const ONLY_HTTP: [&str; 1] = ["/me/export"];

/// Answers calls of one client as over HTTP: by the same code, with the same limits, rules and keys.
pub trait Calls {
    /// Answers a call that carries this access token.
    fn call(&self, token: &str, call: Call) -> LocalBoxFuture<'static, Answer>;
}

/// The answer to a call.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// JSON, or empty.
    pub body: Bytes,
    pub request_id: Option<String>,
    /// Whether it repeats an earlier outcome.
    pub replayed: bool,
    pub etag: Option<String>,
    pub retry_after_seconds: Option<u64>,
}

impl From<&Problem> for Answer {
    fn from(problem: &Problem) -> Self {
        Self {
            status: problem.code().status(),
            body: problem.to_value().to_string().into(),
            retry_after_seconds: problem.retry_after_seconds(),
            ..Self::default()
        }
    }
}

/// Why a call is not possible over a connection.
pub fn refusal(call: &Call) -> Option<Problem> {
    let path = call.path.split_once('?').map_or(call.path.as_str(), |(path, _)| path);
    let scope = path.strip_prefix('/').map(|rest| rest.split('/').next().unwrap_or_default());
    let is_offered = scope.is_some_and(|scope| SCOPES.contains(&scope));
    if is_offered && !ONLY_HTTP.contains(&path) {
        return None;
    }
    Some(Problem::malformed("path", "is served over HTTP only"))
}

/// The problem of a call beyond [`MOST_CALLS`].
pub fn too_many() -> Problem {
    Problem::rate_limited("calls", RETRY_MILLIS)
}

/// The frame with a problem as the answer to a call.
pub fn refused(id: u64, problem: &Problem) -> Vec<u8> {
    result(id, &problem.into())
}

/// The frame with the answer to a call.
pub fn result(id: u64, answer: &Answer) -> Vec<u8> {
    if answer.body.len() > MAX_BODY_BYTES {
        let detail = "The answer is too large for this connection. Call it over HTTP.";
        return refused(id, &Problem::new(Code::PayloadTooLarge, detail));
    }
    let mut members = Map::new();
    let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
    member("status", json!(answer.status));
    if let Some(request_id) = &answer.request_id {
        member("request_id", json!(request_id));
    }
    if answer.replayed {
        member("replayed", json!(true));
    }
    if let Some(etag) = &answer.etag {
        member("etag", json!(etag));
    }
    let body = serde_json::from_slice::<&RawValue>(&answer.body).unwrap_or(RawValue::NULL);
    if let Some(seconds) = answer.retry_after_seconds {
        member("retry_after_ms", retry_after_millis(body, seconds));
    }
    server::result(id, members, body)
}

/// The member `retry_after_ms` of a problem, which is more precise than the header `Retry-After`.
fn retry_after_millis(body: &RawValue, seconds: u64) -> Value {
    let problem: Option<Value> = serde_json::from_str(body.get()).ok();
    let precise =
        problem.and_then(|mut problem| problem.get_mut("retry_after_ms").map(Value::take));
    precise.filter(Value::is_u64).unwrap_or_else(|| json!(seconds * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_path(path: &str) -> bool {
        let call = Call {
            method: "GET".into(),
            path: path.into(),
            body: Value::Null,
            idempotency_key: None,
        };
        refusal(&call).is_some()
    }

    #[test]
    fn only_json_of_the_players_own_paths_is_called() {
        for path in
            ["/me", "/me/clicks", "/me/ledger?limit=5", "/rooms", "/chat/channels", "/bookings"]
        {
            assert!(!refused_path(path), "{path}");
        }
        for path in [
            "",
            "me",
            "/",
            "/mean",
            "/auth/login",
            "/admin/players",
            "/me/export",
            "/me/export?x=1",
            "//me",
            "/events",
        ] {
            assert!(refused_path(path), "{path}");
        }
    }

    #[test]
    fn results_have_what_applies_to_the_answer() {
        let value = |answer: &Answer| -> Value {
            serde_json::from_slice(&result(7, answer)).expect("JSON")
        };
        let plain = Answer { status: 204, ..Answer::default() };
        assert_eq!(value(&plain), json!({"type": "result", "id": 7, "status": 204, "body": null}));
        let full = Answer {
            status: 429,
            body: Bytes::from_static(br#"{"retry_after_ms": 123}"#),
            request_id: Some("r".into()),
            replayed: true,
            etag: Some("W/\"1\"".into()),
            retry_after_seconds: Some(1),
        };
        assert_eq!(
            value(&full),
            json!({
                "type": "result", "id": 7, "status": 429, "request_id": "r", "replayed": true,
                "etag": "W/\"1\"", "retry_after_ms": 123, "body": {"retry_after_ms": 123}
            })
        );
        let body = format!("\"{}\"", "x".repeat(MAX_BODY_BYTES));
        let large = Answer { status: 200, body: body.into(), ..Answer::default() };
        assert_eq!(value(&large)["body"]["code"], "payload_too_large");
    }
}
