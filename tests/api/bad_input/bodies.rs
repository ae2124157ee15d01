//! Bodies that are not JSON, or have another shape, size or type.

use serde_json::Value;

use super::{Row, Sender, malformed, refused, unacceptable};

/// Every call that takes a body, with a valid one.
const CALLS: [(&str, &str, &str); 11] = [
    ("POST", "/auth/guest", "{}"),
    ("POST", "/auth/register", r#"{"username":"eve","password":"password"}"#),
    ("POST", "/auth/login", r#"{"username":"ada","password":"correct horse"}"#),
    ("POST", "/auth/refresh", r#"{"refresh_token":"x"}"#),
    ("POST", "/auth/password", r#"{"current_password":"x","new_password":"password"}"#),
    ("POST", "/me/clicks", r#"{"clicks":1}"#),
    ("POST", "/me/generators/hand_crank/purchase", r#"{"quantity":1}"#),
    ("POST", "/me/upgrades/work_gloves/purchase", "{}"),
    ("POST", "/me/prestige", "{}"),
    ("POST", "/me/actions", r#"{"actions":[{"type":"click","clicks":1}]}"#),
    ("PATCH", "/me", r#"{"display_name":"Eve"}"#),
];

const LIMIT: usize = 64 * 1024;

pub fn rows(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, path, good) in CALLS {
        let name = |what: &str| format!("{method} {path} with {what}");
        let send = |body: Vec<u8>| sender.with_body(method, path, body);
        let spliced = |member: &str| {
            let comma = if good == "{}" { "" } else { "," };
            format!("{}{comma}{member}}}", &good[..good.len() - 1]).into_bytes()
        };
        for (what, body) in [
            ("a cut-off body", good.as_bytes()[..good.len() - 1].to_vec()),
            ("a brace", b"{".to_vec()),
            ("white space alone", b"  \n".to_vec()),
            ("no JSON", b"clicks=1".to_vec()),
            ("single quotes", good.replace('"', "'").replace("{}", "{'a':1}").into_bytes()),
            ("trailing garbage", format!("{good}x").into_bytes()),
            ("two documents", format!("{good}{good}").into_bytes()),
            ("a trailing comma", spliced("")),
            ("null", b"null".to_vec()),
            ("an array", b"[]".to_vec()),
            ("a text", b"\"{}\"".to_vec()),
            ("a number", b"7".to_vec()),
            ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("a NUL behind it", format!("{good}\0").into_bytes()),
            ("invalid UTF-8 in a name", [&spliced("\"a")[..], b"\xff\":1}"].concat()),
            ("a comment", format!("{good}/* */").into_bytes()),
            ("deep nesting", spliced(&format!("\"deep\":{}", "[".repeat(30_000)))),
            ("closed deep nesting", spliced(&nested("\"deep\":", 30_000))),
            ("an array of deep nesting", nested("", 30_000).into_bytes()),
        ] {
            // Only a comma before the closing brace is a trailing one.
            if what == "a trailing comma" && good == "{}" {
                continue;
            }
            // If the object begins correctly, the first name is wrong.
            let field = if what.ends_with("deep nesting") && !what.starts_with("an ") {
                "deep"
            } else {
                "body"
            };
            rows.push(malformed(name(what), send(body)).at(field));
        }
        rows.push(malformed(name("values without names"), send(values(good))));
        rows.push(malformed(name("an unknown field"), send(spliced("\"bogus\":1"))).at("bogus"));
        if good != "{}" {
            rows.push(malformed(name("a field twice"), send(spliced(&good[1..good.len() - 1]))));
        }
        rows.extend(types(sender, method, path, good));
        rows.extend(sizes(sender, method, path, good));
    }
    rows.extend(fields(sender));
    rows
}

/// The values of an object as an array, which is something else.
fn values(object: &str) -> Vec<u8> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(object).expect("an object");
    Value::Array(object.into_iter().map(|(_, value)| value).collect()).to_string().into_bytes()
}

fn nested(name: &str, depth: usize) -> String {
    format!("{name}{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Content types that are not `application/json`.
fn types(sender: &Sender<'_>, method: &str, path: &str, good: &'static str) -> Vec<Row> {
    const CODE: &str = "unsupported_media_type";
    let untyped = || sender.request(method, path).body(good);
    let mut rows =
        vec![refused(415, CODE, format!("{method} {path} without a content type"), untyped())];
    for given in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/problem+json",
        "application",
        "json",
        "*/*",
        ";",
    ] {
        let name = format!("{method} {path} as {given}");
        rows.push(refused(415, CODE, name, untyped().header("Content-Type", given)));
    }
    for coding in ["gzip", "br", "identity, gzip", "GZIP"] {
        let name = format!("{method} {path} in {coding}");
        let request = untyped().header("Content-Type", "application/json");
        rows.push(refused(415, CODE, name, request.header("Content-Encoding", coding)));
    }
    rows
}

/// Bodies over 64 KiB: announced, announced and sent, or sent in chunks.
fn sizes(sender: &Sender<'_>, method: &str, path: &str, good: &str) -> Vec<Row> {
    const CODE: &str = "payload_too_large";
    const JSON: &str = "Content-Type: application/json\r\n";
    let padded = |length: usize| format!("{}{good}", " ".repeat(length - good.len()));
    let name = |how: &str| format!("{method} {path} with 64 KiB and a byte, {how}");
    let announced =
        |length: &str| sender.head(method, path, &format!("{JSON}Content-Length: {length}\r\n"));
    let mut chunked = sender.head(method, path, &format!("{JSON}Transfer-Encoding: chunked\r\n"));
    for chunk in padded(LIMIT + 1).as_bytes().chunks(8 * 1024) {
        let chunk = String::from_utf8_lossy(chunk);
        chunked.extend([&format!("{:x}\r\n", chunk.len()), chunk.as_ref(), "\r\n"]);
    }
    vec![
        refused(413, CODE, name("sent"), sender.with_body(method, path, padded(LIMIT + 1))),
        refused(413, CODE, name("announced alone"), announced(&(LIMIT + 1).to_string())),
        refused(413, CODE, name("announced as far more"), announced("1000000000000")),
        refused(413, CODE, name("in chunks"), chunked + "0\r\n\r\n"),
    ]
}

/// Fields of a wrong type, missing ones, and texts with forbidden characters.
fn fields(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, path, body, field) in [
        ("POST", "/me/clicks", "{}", "clicks"),
        ("POST", "/me/generators/hand_crank/purchase", "{}", "quantity"),
        ("POST", "/me/actions", "{}", "actions"),
        ("PATCH", "/me", "{}", "display_name"),
        ("PATCH", "/me", r#"{"display_name":null}"#, "display_name"),
        ("PATCH", "/me", r#"{"display_name":7}"#, "display_name"),
        ("PATCH", "/me", r#"{"display_name":"\ud800"}"#, "display_name"),
        ("POST", "/auth/register", r#"{"username":"eve"}"#, "password"),
        ("POST", "/auth/register", r#"{"username":7,"password":"password"}"#, "username"),
        ("POST", "/auth/register", r#"{"username":"eve","password":null}"#, "password"),
        ("POST", "/auth/login", r#"{"password":"correct horse"}"#, "username"),
        ("POST", "/auth/login", r#"{"username":["ada"],"password":"x"}"#, "username"),
        ("POST", "/auth/refresh", "{}", "refresh_token"),
        ("POST", "/auth/refresh", r#"{"refresh_token":null}"#, "refresh_token"),
        ("POST", "/auth/password", r#"{"current_password":"x"}"#, "new_password"),
    ] {
        let name = format!("{method} {path} with {body}");
        rows.push(malformed(name, sender.with_body(method, path, body)).at(field));
    }
    let invalid = b"{\"display_name\":\"\xc3\x28\"}".to_vec();
    rows.push(malformed("invalid UTF-8 in a text", sender.with_body("PATCH", "/me", invalid)));
    rows.push(malformed("no body where a field is needed", sender.request("POST", "/me/clicks")));
    for text in ["", " \\t ", "a\\u0000b", "a\\nb", &"x".repeat(25), &"x".repeat(60_000)] {
        let body = format!("{{\"display_name\":\"{text}\"}}");
        let name: String = format!("display name {text}").chars().take(60).collect();
        let request = sender.with_body("PATCH", "/me", body);
        rows.push(unacceptable(name, request).at("display_name"));
    }
    rows
}
