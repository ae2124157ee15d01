//! The OpenAPI document: it is whole, and the server keeps to it.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;
use uuid::Uuid;

use crate::support::{ADMIN_TOKEN, Reply, TestApp};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// The routes that clients are written against, below `/api/v1`.
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

/// One method at one path.
struct Operation {
    method: &'static str,
    path: String,
    description: Value,
}

impl Operation {
    /// The path with something in the place of each parameter.
    fn address(&self) -> String {
        let parts = self.path.split('/').map(|part| {
            if part.starts_with('{') { Uuid::nil().to_string() } else { part.to_owned() }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// The schemes of which one is asked for; empty where none is, or none need be.
    fn security(&self) -> Vec<&str> {
        let schemes = self.description["security"].as_array();
        let schemes: Vec<_> = schemes.into_iter().flatten().collect();
        if schemes.iter().any(|scheme| scheme.as_object().is_some_and(serde_json::Map::is_empty)) {
            return Vec::new();
        }
        let names = schemes.into_iter().filter_map(|scheme| scheme.as_object()?.keys().next());
        names.map(String::as_str).collect()
    }

    async fn ask(&self, app: &TestApp, token: Option<&str>) -> Reply {
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

/// Every value of a member `$ref`, wherever it stands.
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
    let below = ROUTES.iter().map(|(method, path)| (*method, format!("/api/v1{path}")));
    let probes = ["/healthz", "/readyz"].map(|path| ("get", path.to_owned()));
    for (method, path) in below.chain(probes) {
        assert!(document["paths"][&path][method].is_object(), "{method} {path} is missing");
    }
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    for operation in operations(&document) {
        for name in operation.security() {
            assert!(schemes.contains_key(name), "{}: no scheme {name}", operation.path);
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_whole() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let mut ids = HashSet::new();
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let described = &operation.description;
        let id = described["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{what}: the id {id} came before");
        assert!(described["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
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
        let problem = &responses["default"]["content"]["application/problem+json"]["schema"];
        assert_eq!(problem["$ref"], "#/components/schemas/Problem", "{what}");
        for parameter in &parameters {
            let optional = parameter["in"] != "path";
            assert!(!optional || parameter["required"] != true, "{what}: {parameter}");
        }
    }
}

#[tokio::test]
async fn the_server_knows_every_operation_of_the_document() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let nowhere = app.client.send(app.client.request("GET", "/api/v1/nowhere")).await.expect(404);
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let reply = operation.ask(&app, None).await;
        assert_ne!(reply.status, 405, "{what}");
        assert_ne!(reply.json["detail"], nowhere.json["detail"], "{what} leads nowhere");
        assert!(reply.status < 500, "{what}: {}", reply.text);
    }
}

#[tokio::test]
async fn the_document_knows_every_method_of_the_server() {
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
async fn the_document_says_whose_token_an_operation_asks_for() {
    let app = TestApp::new().await;
    let document = document(&app).await;
    let guest = app.client.guest().await;
    let mut asked = BTreeSet::new();
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let security = operation.security();
        asked.extend(security.iter().map(|name| (*name).to_owned()));
        let reply = operation.ask(&app, None).await;
        let refused = reply.code() == "unauthenticated";
        assert_eq!(refused, !security.is_empty(), "{what}: {}", reply.text);
        if security.contains(&"operator") {
            let reply = operation.ask(&app, Some(&guest.token)).await;
            reply.expect_problem(403, "forbidden");
        } else if security.contains(&"player") {
            let reply = operation.ask(&app, Some(ADMIN_TOKEN)).await;
            reply.expect_problem(401, "unauthenticated");
        }
    }
    assert_eq!(asked, BTreeSet::from(["operator".to_owned(), "player".to_owned()]));
}
