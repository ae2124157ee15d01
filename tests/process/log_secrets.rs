//! What logs never contain: tokens, passwords, secrets, and addresses of players.

use std::net::Ipv4Addr;

use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::program::{Folder, Program, database_pid, send_signal, until};

const ADMIN: &str = "operators-token-that-nobody-may-read";
const SECRET: &str = "signing-secret-that-nobody-may-read-either";
const PASSWORD: &str = "pass-phrase-of-ada-lovelace";
const WRONG: &str = "pass-phrase-that-is-wrong";
/// A client's address that appears nowhere else.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 81, 82, 83);
const FORWARDED: &str = "203.0.113.77";

/// Sends a request from the address `CLIENT` and returns the body of the answer.
async fn call(base: &str, method: &str, path: &str, token: &str, body: Option<Value>) -> Value {
    let client = reqwest::Client::builder().local_address(Some(CLIENT.into()));
    let client = client.build().expect("a client");
    let method = method.parse().expect("a method");
    let mut request = client.request(method, format!("{base}/api/v1{path}"));
    request = request.header("X-Forwarded-For", FORWARDED);
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn play(server: &Program, folder: &Folder) -> Vec<String> {
    let base = server.base.as_str();
    let register = json!({ "username": "ada", "password": PASSWORD });
    let signed_in = call(base, "POST", "/auth/register", "", Some(register.clone())).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let access = text(&signed_in["tokens"]["access_token"]);
    let refresh = text(&signed_in["tokens"]["refresh_token"]);
    let login = json!({ "username": "ada", "password": WRONG });
    call(base, "POST", "/auth/login", "", Some(login)).await;
    call(base, "POST", "/auth/register", "", Some(register)).await;
    let body = json!({ "current_password": WRONG, "new_password": PASSWORD });
    call(base, "POST", "/auth/password", &access, Some(body)).await;
    let refreshed = json!({ "refresh_token": refresh });
    let refreshed = call(base, "POST", "/auth/refresh", "", Some(refreshed)).await;
    let second = text(&refreshed["tokens"]["refresh_token"]);
    call(base, "POST", "/me/clicks", &access, Some(json!({ "clicks": 3 }))).await;
    // Errors are logged with more detail.
    let forged = format!("{}x", &access[..access.len() - 1]);
    call(base, "GET", "/me", &forged, None).await;
    call(base, "POST", "/auth/refresh", "", Some(json!({ "refresh_token": forged }))).await;
    call(base, "POST", "/me/clicks", &access, Some(json!({ "clicks": PASSWORD }))).await;
    call(base, "GET", "/admin/players?query=ada", ADMIN, None).await;
    call(base, "GET", "/admin/players?query=ada", &forged, None).await;
    send_signal(database_pid(folder.path()), "KILL");
    call(base, "POST", "/me/clicks", &access, Some(json!({ "clicks": 3 }))).await;
    call(base, "POST", "/auth/refresh", "", Some(json!({ "refresh_token": second }))).await;
    vec![access, refresh, second, forged]
}

#[tokio::test]
async fn logs_contain_no_secrets_and_no_addresses_at_any_level() {
    for (format, level) in [("json", "trace"), ("text", "debug")] {
        let folder = Folder::new(&format!("log-secrets-{format}"));
        let server = Program::start(&[
            ("DATA_DIR", folder.path().to_str().expect("text")),
            ("ADMIN_TOKEN", ADMIN),
            ("JWT_SECRET", SECRET),
            ("LOG_FORMAT", format),
            ("RUST_LOG", level),
        ]);
        let mut hidden = play(&server, &folder).await;
        let log = until("the requests and the outage are logged", || {
            let log = server.log();
            let expected = ["/api/v1/auth/refresh", "ended unexpectedly"];
            expected.iter().all(|it| log.contains(it)).then_some(log)
        });
        hidden.extend([ADMIN, SECRET, PASSWORD, WRONG, FORWARDED].map(str::to_owned));
        hidden.push(CLIENT.to_string());
        for secret in hidden {
            let line = log.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "the log at {level} contains {secret}");
        }
    }
}
