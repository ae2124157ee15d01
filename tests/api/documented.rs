//! Requests and answers of play match the OpenAPI document.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::document;
use crate::support::schema::Schemas;
use crate::support::{ADMIN_TOKEN, PASSWORD, Player, TestApp, World};

/// Makes calls and validates them against the document.
struct Observer<'a> {
    app: &'a TestApp,
    document: Value,
    seen: BTreeSet<String>,
    faults: Vec<String>,
}

impl<'a> Observer<'a> {
    async fn new(app: &'a TestApp) -> Self {
        let document = app.client.send(app.client.request("GET", "/openapi.json")).await.json;
        Self { app, document, seen: BTreeSet::new(), faults: Vec::new() }
    }

    /// A call with a body (unless it is null) that is answered with `status`.
    async fn call(
        &mut self,
        status: u16,
        method: &str,
        path: &str,
        token: &str,
        body: Value,
    ) -> Value {
        let mut request = self.app.client.request(method, path);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let reply = self.app.client.send(request).await.expect(status);
        let (operation, described) = self.find(method, path);
        self.seen.insert(operation.clone());
        let schemas = Schemas(&self.document);
        let mut faults = Vec::new();
        if !body.is_null() && status < 300 {
            let schema = &described["requestBody"]["content"]["application/json"]["schema"];
            if schema.is_null() {
                faults.push("takes a body that is not documented".to_owned());
            }
            faults.extend(schemas.faults(schema, &body).into_iter().map(|it| format!("sent {it}")));
        }
        let response = schemas.resolve(&described["responses"][status.to_string()]);
        if reply.text.is_empty() {
            if !response["content"].is_null() {
                faults.push(format!("{status} is documented with a body and has none"));
            }
        } else {
            let schema = &response["content"][reply.header("content-type")]["schema"];
            if schema.is_null() {
                faults.push(format!("{status} {} is not documented", reply.header("content-type")));
            }
            faults.extend(schemas.faults(schema, &reply.json));
        }
        self.faults.extend(faults.into_iter().map(|fault| format!("{operation}: {fault}")));
        reply.json
    }

    /// The operation that the call belongs to.
    fn find(&self, method: &str, path: &str) -> (String, Value) {
        let path = path.split('?').next().expect("a path");
        let found = document::operation(&self.document, method, path);
        let (template, described) =
            found.unwrap_or_else(|| panic!("{method} {path} is not documented"));
        (format!("{method} {template}"), described.clone())
    }
}

#[tokio::test]
async fn requests_and_answers_conform_to_the_openapi_document() {
    let app = World::new().await.start_with(&[("ACCESS_TOKEN_TTL_SECONDS", "86400")]).await;
    let mut observer = Observer::new(&app).await;
    let guest = observer.call(201, "POST", "/api/v1/auth/guest", "", json!({})).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (id, token) = (text(&guest["player"]["id"]), text(&guest["tokens"]["access_token"]));
    play(&mut observer, &token).await;
    operate(&mut observer, &id).await;
    play_on(&mut observer, &token).await;
    rank(&mut observer, &token).await;
    notify(&mut observer, &id, &token).await;
    sign_in_again(&mut observer, &token).await;
    for path in ["/healthz", "/readyz", "/api/v1/catalog"] {
        observer.call(200, "GET", path, "", Value::Null).await;
    }
    observer.call(200, "GET", &format!("/api/v1/players/{id}"), "", Value::Null).await;
    observer.call(204, "DELETE", "/api/v1/me", &token, Value::Null).await;
    observer.call(401, "GET", "/api/v1/me", &token, Value::Null).await;
    assert!(observer.faults.is_empty(), "{}", observer.faults.join("\n"));
    let paths = observer.document["paths"].as_object().expect("paths");
    let methods = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("an item").keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let unseen: Vec<String> = methods.filter(|it| !observer.seen.contains(it)).collect();
    assert!(unseen.is_empty(), "never called: {unseen:?}");
}

/// The beginning of a game.
async fn play(observer: &mut Observer<'_>, token: &str) {
    const CRANK: &str = "/api/v1/me/generators/hand_crank/purchase";
    for (status, path, body) in [
        (200, "/api/v1/me/clicks", json!({ "clicks": 30 })),
        (200, CRANK, json!({ "quantity": 1 })),
        (200, CRANK, json!({ "quantity": "max", "expected_version": 2 })),
        (409, CRANK, json!({ "quantity": 1 })),
        (409, CRANK, json!({ "quantity": 1, "expected_version": 0 })),
        (409, "/api/v1/me/upgrades/work_gloves/purchase", json!({})),
        (409, "/api/v1/me/prestige", json!({})),
        (422, "/api/v1/me/clicks", json!({ "clicks": 0 })),
        (404, "/api/v1/me/generators/no_such/purchase", json!({ "quantity": 1 })),
    ] {
        observer.call(status, "POST", path, token, body).await;
    }
    observer.call(200, "PATCH", "/api/v1/me", token, json!({ "display_name": "Ada" })).await;
}

/// A later state of a game.
async fn play_on(observer: &mut Observer<'_>, token: &str) {
    const CRANK: &str = "/api/v1/me/generators/hand_crank/purchase";
    let actions = json!({ "actions": [
        { "type": "click", "clicks": 5 },
        { "type": "buy_generator", "id": "wind_turbine", "quantity": 3 },
        { "type": "buy_generator", "id": "bicycle_dynamo", "quantity": "max" },
        { "type": "buy_generator", "id": "hydro_dam", "quantity": 1_000_000 },
        { "type": "buy_generator", "id": "no_such", "quantity": 1 },
        { "type": "buy_upgrade", "id": "work_gloves" },
    ]});
    for (path, body) in [
        (CRANK, json!({ "quantity": 10 })),
        ("/api/v1/me/upgrades/work_gloves/purchase", json!({})),
        ("/api/v1/me/actions", actions),
        ("/api/v1/me/generators/fission_reactor/purchase", json!({ "quantity": "max" })),
    ] {
        observer.call(200, "POST", path, token, body).await;
    }
    observer.app.advance(20_000.0);
    let state = observer.call(200, "GET", "/api/v1/me", token, Value::Null).await;
    assert!(state["away"].is_object(), "{state}");
    observer.call(200, "POST", "/api/v1/me/prestige", token, json!({})).await;
    for path in ["/api/v1/me/ledger?limit=2", "/api/v1/me/ledger", "/api/v1/me/export"] {
        observer.call(200, "GET", path, token, Value::Null).await;
    }
}

/// Calls of operators.
async fn operate(observer: &mut Observer<'_>, id: &str) {
    let player = format!("/api/v1/admin/players/{id}");
    let at = |call: &str| format!("{player}/{call}");
    let found = "/api/v1/admin/players?limit=1";
    let grant = json!({ "energy": 1e12, "reason": "a prize" });
    observer.call(200, "POST", &at("grant"), ADMIN_TOKEN, grant).await;
    observer.call(204, "POST", &at("ban"), ADMIN_TOKEN, json!({ "reason": "a script" })).await;
    observer.call(200, "GET", found, ADMIN_TOKEN, Value::Null).await;
    observer.call(204, "POST", &at("unban"), ADMIN_TOKEN, json!({})).await;
    observer.call(200, "GET", &player, ADMIN_TOKEN, Value::Null).await;
    let catalog =
        observer.call(200, "GET", "/api/v1/admin/catalog", ADMIN_TOKEN, Value::Null).await;
    observer.call(200, "PUT", "/api/v1/admin/catalog", ADMIN_TOKEN, catalog).await;
    observer.app.run_jobs().await;
    let jobs = "/api/v1/admin/jobs?limit=1";
    let page = observer.call(200, "GET", jobs, ADMIN_TOKEN, Value::Null).await;
    let job = format!("/api/v1/admin/jobs/{}", page["entries"][0]["id"].as_str().expect("an id"));
    let retry = format!("{job}/retry");
    observer.call(409, "POST", &retry, ADMIN_TOKEN, Value::Null).await;
    observer.call(204, "DELETE", &job, ADMIN_TOKEN, Value::Null).await;
    observer.call(404, "POST", &retry, ADMIN_TOKEN, Value::Null).await;
}

/// Streams and notifications.
async fn notify(observer: &mut Observer<'_>, id: &str, token: &str) {
    let sent = "/api/v1/admin/notifications";
    let to_player = json!({
        "to": { "players": [id] }, "type": "gift", "priority": "high",
        "title": { "en": "A gift", "ko": "선물" }, "body": { "en": "For you" },
        "data": { "amount": 5 }, "dedupe_key": "gift-1", "expires_at": "2027-01-01T00:00:00Z",
    });
    let to_all = json!({
        "to": "all", "type": "maintenance", "priority": "low", "title": { "en": "Maintenance" },
        "body": { "en": "Tonight" }, "at": "2027-01-01T00:00:00Z",
    });
    observer.call(202, "POST", sent, ADMIN_TOKEN, to_player.clone()).await;
    observer.call(200, "POST", sent, ADMIN_TOKEN, to_player).await;
    let later = observer.call(202, "POST", sent, ADMIN_TOKEN, to_all.clone()).await;
    let mut now = to_all;
    now.as_object_mut().expect("an object").remove("at");
    observer.call(202, "POST", sent, ADMIN_TOKEN, now).await;
    observer.call(200, "GET", sent, ADMIN_TOKEN, Value::Null).await;
    let withdrawn = format!("{sent}/{}", later["id"].as_str().expect("an id"));
    observer.call(204, "DELETE", &withdrawn, ADMIN_TOKEN, Value::Null).await;
    observer.call(200, "GET", "/api/v1/me/streams", token, Value::Null).await;
    let poll = format!("/api/v1/events?stream=player:{id}@0&stream=announcements@0&wait=1");
    observer.call(200, "GET", &poll, token, Value::Null).await;
    observer.call(400, "GET", "/api/v1/events", token, Value::Null).await;
    observer.call(404, "GET", "/api/v1/events?stream=nothing", token, Value::Null).await;
    let list = "/api/v1/me/notifications";
    let page = observer.call(200, "GET", &format!("{list}?limit=1"), token, Value::Null).await;
    let one = page["entries"][0]["id"].clone();
    observer.call(200, "POST", &format!("{list}/read"), token, json!({ "ids": [one] })).await;
    observer.call(200, "POST", &format!("{list}/read"), token, json!({ "through": 1 })).await;
    observer.call(400, "POST", &format!("{list}/read"), token, json!({})).await;
    let one = format!("{list}/{}", one.as_str().expect("an id"));
    observer.call(204, "DELETE", &one, token, Value::Null).await;
    observer.call(404, "DELETE", &one, token, Value::Null).await;
    observer.call(200, "GET", &poll, token, Value::Null).await;
    let settings = "/api/v1/me/notification-settings";
    observer.call(200, "GET", settings, token, Value::Null).await;
    observer.call(200, "PUT", settings, token, json!({ "muted_types": ["gift"] })).await;
    observer.call(200, "GET", "/api/v1/me/export", token, Value::Null).await;
    observer.call(200, "PATCH", "/api/v1/me", token, json!({ "language": "ko" })).await;
}

/// Boards and seasons.
async fn rank(observer: &mut Observer<'_>, token: &str) {
    for (status, path) in [
        (200, "/api/v1/rankings"),
        (200, "/api/v1/rankings?board=season&limit=1&offset=0"),
        (400, "/api/v1/rankings?limit=0"),
        (404, "/api/v1/rankings?board=no_such"),
        (200, "/api/v1/seasons"),
        (200, "/api/v1/seasons/2026-w02/rankings"),
        (404, "/api/v1/seasons/1999-w01/rankings"),
    ] {
        observer.call(status, "GET", path, "", Value::Null).await;
    }
    let own = "/api/v1/rankings/me?around=3";
    observer.call(200, "GET", own, token, Value::Null).await;
    let rebuild = "/api/v1/admin/rankings/rebuild";
    observer.call(202, "POST", rebuild, ADMIN_TOKEN, Value::Null).await;
}

/// Names and sessions.
async fn sign_in_again(observer: &mut Observer<'_>, token: &str) {
    let credentials = json!({ "username": "ada", "password": PASSWORD });
    let wrong = json!({ "username": "ada", "password": "wrong horse" });
    let login = "/api/v1/auth/login";
    observer.call(201, "POST", "/api/v1/auth/register", token, credentials.clone()).await;
    observer.call(401, "POST", login, "", wrong).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let reply = observer.call(200, "POST", login, "", credentials.clone()).await;
        sessions.push(Player {
            client: observer.app.client.clone(),
            id: String::new(),
            token: reply["tokens"]["access_token"].as_str().expect("a token").to_owned(),
            refresh_token: reply["tokens"]["refresh_token"].as_str().expect("a token").to_owned(),
        });
    }
    let refresh = json!({ "refresh_token": sessions[0].refresh_token });
    observer.call(200, "POST", "/api/v1/auth/refresh", "", refresh).await;
    observer.call(200, "GET", "/api/v1/auth/sessions", token, Value::Null).await;
    let one = format!("/api/v1/auth/sessions/{}", sessions[0].session());
    observer.call(204, "DELETE", &one, token, Value::Null).await;
    observer.call(204, "POST", "/api/v1/auth/logout", &sessions[1].token, Value::Null).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another horse" });
    observer.call(204, "POST", "/api/v1/auth/password", token, change).await;
    observer.call(204, "DELETE", "/api/v1/auth/sessions", token, Value::Null).await;
}
