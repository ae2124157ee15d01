//! Invalid idempotency keys.

use reqwest::header::HeaderValue;

use super::{Row, Sender, malformed};

const FIELD: &str = "Idempotency-Key";

/// Every mutation that takes a key, with a valid body.
const CALLS: [(&str, &str, &str); 7] = [
    ("POST", "/me/clicks", r#"{"clicks":1}"#),
    ("POST", "/me/generators/hand_crank/purchase", r#"{"quantity":1}"#),
    ("POST", "/me/upgrades/work_gloves/purchase", "{}"),
    ("POST", "/me/prestige", "{}"),
    ("POST", "/me/actions", r#"{"actions":[{"type":"click","clicks":1}]}"#),
    ("PATCH", "/me", r#"{"display_name":"Eve"}"#),
    ("DELETE", "/me", ""),
];

pub fn rows(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, path, body) in CALLS {
        for (name, key) in [
            ("empty", Vec::new()),
            ("256 characters long", vec![b'k'; 256]),
            ("with a space inside", b"a key".to_vec()),
            ("with a tab inside", b"a\tkey".to_vec()),
            ("in UTF-8", "clé".into()),
            ("in Latin-1", b"cl\xe9".to_vec()),
            ("10 kB long", vec![b'k'; 10_000]),
        ] {
            let key = HeaderValue::from_bytes(&key).expect("a value");
            let mut request = sender.request(method, path).header(FIELD, key);
            if !body.is_empty() {
                request = request.header("Content-Type", "application/json").body(body);
            }
            rows.push(malformed(format!("{method} {path} with a key {name}"), request).at(FIELD));
        }
        for keys in [["a", "b"], ["a", "a"]] {
            let mut request = sender.request(method, path);
            for key in keys {
                request = request.header(FIELD, key);
            }
            if !body.is_empty() {
                request = request.header("Content-Type", "application/json").body(body);
            }
            rows.push(malformed(format!("{method} {path} with keys {keys:?}"), request).at(FIELD));
        }
    }
    rows
}
