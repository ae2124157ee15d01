//! Unknown paths, wrong methods, and invalid query strings.

use reqwest::header::HeaderValue;
use uuid::Uuid;

use super::{Row, Sender, malformed, not_found, refused};

pub fn rows(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = items(sender);
    rows.extend(ids(sender));
    rows.extend(nowhere(sender));
    rows.extend(methods(sender));
    rows.extend(queries(sender));
    rows
}

/// Ids that cannot be in a catalogue, or are not.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "no_such_thing",
        "HAND_CRANK",
        "hand-crank",
        "hand_crank%00",
        "%00",
        "%ff",
        "%c3%28",
        "hand_crank%20",
        "%68and_crank%2f",
        "hand_crank%2Fpurchase",
        "..%2f..%2fadmin",
        "hand_crank'--",
        "%F0%9F%92%A1",
        "1",
        "-",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(["a".repeat(10_000), "%00".repeat(3_000), Uuid::nil().to_string()]);
    names
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn items(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in odd_names() {
        let path = format!("/me/generators/{name}/purchase");
        rows.push(not_found(short(&path), sender.post(&path, r#"{"quantity":1}"#)));
        let path = format!("/me/upgrades/{name}/purchase");
        rows.push(not_found(short(&path), sender.post(&path, "{}")));
    }
    // A generator is not an upgrade, and an upgrade is not a generator.
    let path = "/me/generators/work_gloves/purchase";
    rows.push(not_found(path, sender.post(path, r#"{"quantity":1}"#)));
    let path = "/me/upgrades/hand_crank/purchase";
    rows.push(not_found(path, sender.post(path, "{}")));
    rows
}

fn ids(sender: &Sender<'_>) -> Vec<Row> {
    let mut odd = odd_names();
    let own = &sender.player.id;
    odd.extend([
        own.replace('-', ""),
        format!("{{{own}}}"),
        format!("urn:uuid:{own}"),
        own[..35].to_owned(),
        format!("{own}%00"),
        format!("{own}%20"),
    ]);
    let mut rows = Vec::new();
    for id in odd {
        let path = format!("/players/{id}");
        rows.push(not_found(short(&path), sender.request("GET", &path)));
        let path = format!("/auth/sessions/{id}");
        rows.push(not_found(short(&path), sender.request("DELETE", &path)));
    }
    rows
}

fn nowhere(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/me",
        "/api/v1/nowhere",
        "/api/v1/ME",
        "/api/v1/me/",
        "/api/v1//me",
        "/api/v1/me/clicks/",
        "/api/v1/me/nowhere",
        "/api/v1/me/generators",
        "/api/v1/me/generators/hand_crank",
        "/api/v1/me/generators//purchase",
        "/api/v1/players",
        "/api/v1/players/",
        "/api/v1/%ff",
        "/api/v1/%00",
        "/api/v1/me%2Fclicks",
        "/me",
        "/healthz/",
        "/metrics",
        "/docs/no_such_file.js",
        "/docs/%2e%2e%2fCargo.toml",
        "/.env",
    ] {
        for method in ["GET", "POST", "BREW"] {
            if method != "GET" && path.starts_with("/docs") {
                continue;
            }
            let request = sender.client.request(method, path).bearer_auth(&sender.player.token);
            rows.push(not_found(format!("{method} {path}"), request));
        }
    }
    let long = format!("/api/v1/{}", "x/".repeat(5_000));
    rows.push(not_found("a path of 10 kB", sender.client.request("GET", &long)));
    rows
}

fn methods(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (methods, path) in [
        (&["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"][..], "/catalog"),
        (&["POST", "PUT", "BREW"], "/me"),
        (&["GET", "PUT", "PATCH", "DELETE"], "/me/clicks"),
        (&["GET", "DELETE"], "/me/generators/hand_crank/purchase"),
        (&["GET", "PUT"], "/me/generators/no_such_thing/purchase"),
        (&["GET"], "/me/upgrades/work_gloves/purchase"),
        (&["GET"], "/me/prestige"),
        (&["GET"], "/me/actions"),
        (&["POST", "DELETE"], "/me/ledger"),
        (&["POST"], "/me/export"),
        (&["GET", "PUT"], "/auth/guest"),
        (&["GET"], "/auth/register"),
        (&["GET"], "/auth/login"),
        (&["GET"], "/auth/refresh"),
        (&["GET"], "/auth/logout"),
        (&["POST"], "/auth/sessions"),
        (&["GET"], "/auth/sessions/x"),
        (&["GET"], "/auth/password"),
        (&["POST", "DELETE"], "/players/x"),
        (&["POST"], "/admin/catalog"),
        (&["PUT"], "/admin/players"),
        (&["GET"], "/admin/players/x/ban"),
    ] {
        for method in methods {
            let name = format!("{method} {path}");
            rows.push(refused(405, "method_not_allowed", name, sender.request(method, path)));
        }
    }
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        let request = sender.client.request("POST", path).body("{");
        rows.push(refused(405, "method_not_allowed", format!("POST {path}"), request));
    }
    rows
}

fn queries(sender: &Sender<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for limit in [
        "0",
        "-1",
        "101",
        "1.5",
        "ten",
        "",
        "1e1",
        "%00",
        "%ff",
        "%31%30%30%30",
        "99999999999999999999",
    ] {
        let path = format!("/me/ledger?limit={limit}");
        rows.push(malformed(&path, sender.request("GET", &path)).at("limit"));
    }
    let forged = "A".repeat(32);
    for cursor in ["", "x", "%00", "%ff", "AAAA", &forged, "null", "'", &"A".repeat(8_000)] {
        let path = format!("/me/ledger?cursor={cursor}");
        rows.push(malformed(short(&path), sender.request("GET", &path)).at("cursor"));
    }
    for query in ["bogus=1", "limit=1&bogus=1", "limit=1&limit=2", "LIMIT=1", "="] {
        let path = format!("/me/ledger?{query}");
        rows.push(malformed(&path, sender.request("GET", &path)));
    }
    let path = "/me/ledger?limit=1&bogus=1";
    rows.push(malformed(path, sender.request("GET", path)).at("bogus"));
    let bytes = HeaderValue::from_bytes(b"\xff").expect("a value");
    let request = sender.request("GET", "/me/ledger?limit=0").header("X-Anything", bytes);
    rows.push(malformed("a header that is no text", request).at("limit"));
    rows
}
