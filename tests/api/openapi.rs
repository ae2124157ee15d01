//! The OpenAPI document: it is complete, and the server behaves as the document says.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;
use uuid::Uuid;

use crate::support::document::codes;
use crate::support::schema::Schemas;
use crate::support::{ADMIN_TOKEN, Reply, TestApp};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// All documented routes below `/api/v1`.
const ROUTES: [(&str, &str); 36] = [
    ("post", "/auth/guest"),
    ("post", "/auth/register"),
    ("post", "/auth/login"),
    ("post", "/auth/refresh"),
    ("post", "/auth/logout"),
    ("get", "/auth/sessions"),
    ("delete", "/auth/sessions/{id}"),
    ("delete", "/auth/sessions"),
    ("post", "/auth/password"),
    ("get", "/catalog"),
    ("get", "/me"),
    ("patch", "/me"),
    ("delete", "/me"),
    ("post", "/me/clicks"),
    ("post", "/me/generators/{id}/purchase"),
    ("post", "/me/upgrades/{id}/purchase"),
    ("post", "/me/prestige"),
    ("post", "/me/actions"),
    ("get", "/me/ledger"),
    ("get", "/me/export"),
    ("get", "/players/{id}"),
    ("get", "/rankings"),
    ("get", "/rankings/me"),
    ("get", "/seasons"),
    ("get", "/seasons/{id}/rankings"),
    ("post", "/admin/rankings/rebuild"),
    ("get", "/admin/catalog"),
    ("put", "/admin/catalog"),
    ("get", "/admin/jobs"),
    ("post", "/admin/jobs/{id}/retry"),
    ("delete", "/admin/jobs/{id}"),
    ("get", "/admin/players"),
    ("get", "/admin/players/{id}"),
    ("post", "/admin/players/{id}/ban"),
    ("post", "/admin/players/{id}/unban"),
    ("post", "/admin/players/{id}/grant"),
];

struct Operation {
    method: &'static str,
    path: String,
    description: Value,
}

impl Operation {
    /// The path with a value for each parameter.
    fn address(&self) -> String {
        let parts = self.path.split('/').map(|part| {
            if part.starts_with('{') { Uuid::nil().to_string() } else { part.to_owned() }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// The security schemes of which one is required; empty if none is.
    fn security(&self) -> Vec<&str> {
        let schemes = self.description["security"].as_array();
        let schemes: Vec<_> = schemes.into_iter().flatten().collect();
        if schemes.iter().any(|scheme| scheme.as_object().is_some_and(serde_json::Map::is_empty)) {
            return Vec::new();
        }
        let names = schemes.into_iter().filter_map(|scheme| scheme.as_object()?.keys().next());
        names.map(String::as_str).collect()
    }

    async fn call(&self, app: &TestApp, token: Option<&str>) -> Reply {
        let mut request = app.client.request(&self.method.to_uppercase(), &self.address());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        app.client.send(request).await
    }
}

async fn document(app: &TestApp) -> Value {
    let reply = app.client.send(app.client.request("GET", "/openapi.json")).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    reply.json
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        METHODS.into_iter().filter(|method| item[*method].is_object()).map(|method| Operation {
            method,
            path: path.clone(),
            description: item[method].clone(),
        })
    });
    operations.collect()
}

/// The values of all members `$ref`, at any depth.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_lists_every_route() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1."));
    assert_eq!(document["info"]["title"], "Idlewatt");
    assert!(document["info"]["version"].is_string());
    assert_eq!(document["servers"][0]["url"], "/");
    let below = ROUTES.iter().map(|(method, path)| (*method, format!("/api/v1{path}")));
    let probes = ["/healthz", "/readyz"].map(|path| ("get", path.to_owned()));
    for (method, path) in below.chain(probes) {
        assert!(document["paths"][&path][method].is_object(), "{method} {path} is missing");
    }
}

#[tokio::test]
async fn every_reference_in_the_document_can_be_resolved() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} does not exist");
    }
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    for operation in operations(&document) {
        for name in operation.security() {
            assert!(schemes.contains_key(name), "{}: no scheme {name}", operation.path);
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_completely() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let schemas = Schemas(&document);
    let mut ids = HashSet::new();
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let described = &operation.description;
        let id = described["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{what}: the id {id} is not unique");
        let camel = id.starts_with(|c: char| c.is_ascii_lowercase());
        assert!(camel && id.chars().all(|c| c.is_ascii_alphanumeric()), "{what}: {id}");
        assert!(!["delete", "export", "import", "new"].contains(&id), "{what}: {id} is reserved");
        let summary = described["summary"].as_str().unwrap_or_default();
        assert!((5..100).contains(&summary.len()) && !summary.contains('\n'), "{what}: {summary}");
        let parameters = described["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<&Value> = parameters.map(|it| schemas.resolve(it)).collect();
        for name in operation.path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let name = name.trim_end_matches('}');
            let declared = parameters.iter().any(|parameter| {
                parameter["in"] == "path"
                    && parameter["name"] == name
                    && parameter["required"] == true
            });
            assert!(declared, "{what}: no parameter {name}");
        }
        let responses = described["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{what}: no success");
        for (status, response) in responses {
            let response = schemas.resolve(response);
            let id = schemas.resolve(&response["headers"]["X-Request-Id"]);
            assert_eq!(id["required"], true, "{what} {status}");
            assert!(status != "304" || response["headers"]["ETag"].is_object(), "{what}");
            let is_readiness = operation.path == "/readyz" && status == "503";
            let is_problem = !status.starts_with(['2', '3']) && !is_readiness;
            assert_eq!(is_problem, !codes(&schemas, response).is_empty(), "{what} {status}");
        }
        for parameter in &parameters {
            let is_needed = parameter["in"] == "path" || parameter["name"] == "stream";
            assert!(is_needed || parameter["required"] != true, "{what}: {parameter}");
        }
    }
}

#[tokio::test]
async fn the_server_has_every_documented_operation() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let nowhere = app.client.send(app.client.request("GET", "/api/v1/nowhere")).await.expect(404);
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let reply = operation.call(&app, None).await;
        assert_ne!(reply.status, 405, "{what}");
        assert_ne!(reply.json["detail"], nowhere.json["detail"], "{what} has no route");
        assert!(reply.status < 500, "{what}: {}", reply.text);
    }
}

#[tokio::test]
async fn the_document_has_every_method_of_the_server() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut addresses: Vec<Operation> = operations(&document);
    addresses.dedup_by(|one, other| one.path == other.path);
    for operation in addresses {
        let request = app.client.request("BREW", &operation.address());
        let reply = app.client.send(request).await.expect(405);
        let allowed: BTreeSet<String> =
            reply.header("allow").split(", ").map(str::to_lowercase).collect();
        let mut documented: BTreeSet<String> = METHODS
            .into_iter()
            .filter(|method| document["paths"][&operation.path][*method].is_object())
            .map(str::to_owned)
            .collect();
        if documented.contains("get") {
            documented.insert("head".to_owned());
        }
        assert_eq!(allowed, documented, "{}", operation.path);
    }
}

#[tokio::test]
async fn the_document_says_which_token_an_operation_requires() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let guest = app.client.guest().await;
    let mut required = BTreeSet::new();
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let security = operation.security();
        required.extend(security.iter().map(|name| (*name).to_owned()));
        let reply = operation.call(&app, None).await;
        let refused = reply.code() == "unauthenticated";
        assert_eq!(refused, !security.is_empty(), "{what}: {}", reply.text);
        if security.contains(&"operator") {
            let reply = operation.call(&app, Some(&guest.token)).await;
            reply.expect_problem(403, "forbidden");
        } else if security.contains(&"player") {
            let reply = operation.call(&app, Some(ADMIN_TOKEN)).await;
            reply.expect_problem(401, "unauthenticated");
        }
    }
    assert_eq!(required, BTreeSet::from(["operator", "player", "session"].map(str::to_owned)));
}

#[tokio::test]
async fn every_error_code_has_one_schema_with_its_status() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let schemas = Schemas(&document);
    let mut documented = BTreeSet::new();
    for operation in operations(&document) {
        for (status, response) in operation.description["responses"].as_object().expect("some") {
            let response = schemas.resolve(response);
            for code in codes(&schemas, response) {
                documented.insert(code.to_owned());
                let all = document["components"]["schemas"].as_object().expect("schemas").values();
                let own = all.map(|schema| &schema["allOf"][1]["properties"]);
                let own = own.filter(|it| it["code"]["enum"][0] == code);
                let statuses: Vec<String> =
                    own.map(|it| it["status"]["enum"][0].to_string()).collect();
                assert_eq!(statuses, [status.as_str()], "{code}");
            }
        }
    }
    let problem = &document["components"]["schemas"]["Problem"]["allOf"][1]["oneOf"];
    let mut all: BTreeSet<&str> = BTreeSet::new();
    for cause in problem.as_array().expect("codes") {
        let code = &schemas.resolve(cause)["allOf"][1]["properties"]["code"]["enum"][0];
        all.insert(code.as_str().expect("text"));
    }
    // No documented operation answers 405.
    all.remove("method_not_allowed");
    assert_eq!(documented.iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn a_body_is_optional_exactly_where_the_document_says_so() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut optional = Vec::new();
    for operation in operations(&document) {
        let body = &operation.description["requestBody"];
        if body.is_null() {
            continue;
        }
        let id = operation.description["operationId"].as_str().expect("an id");
        // One of the operations ends the session.
        let guest = app.client.guest().await;
        let token = match operation.security().first() {
            Some(&"operator") => ADMIN_TOKEN,
            _ => &guest.token,
        };
        let reply = operation.call(&app, Some(token)).await;
        if body["required"] == true {
            assert_eq!(reply.status, 400, "{id}: {}", reply.text);
        } else {
            assert!(![400, 415].contains(&reply.status), "{id}: {}", reply.text);
            optional.push(id.to_owned());
        }
    }
    let expected =
        ["adminBanPlayer", "adminUnbanPlayer", "buyUpgrade", "createGuest", "logOut", "prestige"];
    optional.sort_unstable();
    assert_eq!(optional, expected);
}

#[tokio::test]
async fn schema_names_are_suitable_for_clients() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        let camel = name.starts_with(|c: char| c.is_ascii_uppercase());
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(camel && plain && !name.contains("Wire"), "{name}");
    }
    for (page, entry) in [
        ("LedgerEntryPage", "LedgerEntry"),
        ("SessionPage", "Session"),
        ("SeasonPage", "Season"),
        ("JobPage", "Job"),
        ("FoundPlayerPage", "FoundPlayer"),
    ] {
        let items = &schemas[page]["properties"]["entries"]["items"];
        assert_eq!(items["$ref"], format!("#/components/schemas/{entry}"), "{page}");
    }
}

#[tokio::test]
async fn the_document_is_small_and_cached_by_etag() {
    let app = TestApp::new().await;
    let request = || app.client.request("GET", "/openapi.json");
    let reply = app.client.send(request()).await.expect(200);
    assert!(!reply.text.contains('\n'), "the document is not compact");
    assert!(reply.text.len() < 150_000, "{} bytes", reply.text.len());
    let again = request().header("If-None-Match", reply.header("etag"));
    let unchanged = app.client.send(again).await.expect(304);
    assert_eq!(unchanged.header("etag"), reply.header("etag"));
    assert_eq!(unchanged.text, "");
}
