//! The OpenAPI document, made from the handlers.

use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr,
    Response, ResponseBuilder, Type,
};
use utoipa::{Modify, OpenApi};

use super::problem::{Code, FieldError, ProblemBody};
use super::wire::{MaxWire, QuantityWire};
use super::{admin, auth, catalog, health, me, players, rankings, seasons};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Idlewatt",
        description = "The backend of an idle-energy game. Sign in as a guest, click, buy generators, and watch \
                       energy rise.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "auth", description = "Signing in and out"),
        (name = "game", description = "Playing"),
        (name = "rankings", description = "Boards and seasons"),
        (name = "operators", description = "Probes"),
        (name = "admin", description = "What operators change")
    ),
    paths(
        auth::create_guest,
        auth::register,
        auth::login,
        auth::refresh,
        auth::logout,
        auth::list_sessions,
        auth::end_session,
        auth::end_other_sessions,
        auth::change_password,
        catalog::read_catalog,
        me::read_state,
        me::rename,
        me::delete_player,
        me::click,
        me::buy_generator,
        me::buy_upgrade,
        me::prestige,
        me::act,
        me::read_ledger,
        me::export,
        players::read_profile,
        rankings::read_rankings,
        rankings::read_own_ranking,
        seasons::list_seasons,
        seasons::read_season_rankings,
        health::healthz,
        health::readyz,
        admin::catalog::read_catalog,
        admin::catalog::replace_catalog,
        admin::jobs::list_jobs,
        admin::jobs::retry_job,
        admin::jobs::discard_job,
        admin::rankings::rebuild_rankings,
        admin::players::search_players,
        admin::players::read_player,
        admin::players::ban_player,
        admin::players::unban_player,
        admin::players::grant_energy,
    ),
    components(schemas(ProblemBody<'static>, Code, FieldError, QuantityWire, MaxWire)),
    modifiers(&Security, &Problems, &Limits, &OperationIds)
)]
struct Api;

/// The document.
pub fn document() -> Document {
    Api::openapi()
}

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("player", "An access token, as signing in answers"),
            ("operator", "The server's ADMIN_TOKEN"),
        ] {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description))
                .build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// Every operation may answer a problem; saying so once keeps the handlers short.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            for operation in operations(item) {
                let response = problem("What went wrong");
                operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
            }
        }
    }
}

fn problem(description: &str) -> Response {
    let content =
        ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem")))).build();
    let response = ResponseBuilder::new().description(description);
    response.content("application/problem+json", content).build()
}

/// Every call below `/api/v1` is limited, and its answers tell of it. Operators are only limited until they have shown
/// their token.
struct Limits;

impl Modify for Limits {
    fn modify(&self, document: &mut Document) {
        for (path, item) in &mut document.paths.paths {
            if !path.starts_with("/api/v1/") {
                continue;
            }
            for operation in operations(item) {
                let mut refused = problem(
                    "`rate_limited`: too much was asked. The same call is allowed after `retry_after_ms` milliseconds.",
                );
                let seconds = "Seconds to wait, rounded up";
                refused.headers.insert("Retry-After".to_owned(), header(Type::Integer, seconds, 1));
                operation.responses.responses.insert("429".to_owned(), RefOr::T(refused));
                if path.starts_with("/api/v1/admin/") {
                    continue;
                }
                for response in operation.responses.responses.values_mut() {
                    if let RefOr::T(response) = response {
                        tell_of_limits(response);
                    }
                }
            }
        }
    }
}

fn tell_of_limits(response: &mut Response) {
    let policy = "The limits that apply: `q` calls at most in `w` seconds";
    let limit = "What is left of them: `r` calls; after `t` seconds without one, all";
    let policy = header(Type::String, policy, r#""player";q=20;w=2"#);
    let limit = header(Type::String, limit, r#""player";r=19;t=1"#);
    response.headers.insert("RateLimit-Policy".to_owned(), policy);
    response.headers.insert("RateLimit".to_owned(), limit);
}

fn header(kind: Type, description: &str, example: impl Into<Value>) -> RefOr<Header> {
    let schema = ObjectBuilder::new().schema_type(kind).examples([example.into()]);
    RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build())
}

/// Names of operations are those of the handlers; `admin_` tells apart what both have.
struct OperationIds;

impl Modify for OperationIds {
    fn modify(&self, document: &mut Document) {
        for (path, item) in &mut document.paths.paths {
            if !path.starts_with("/api/v1/admin/") {
                continue;
            }
            for operation in operations(item) {
                if let Some(id) = &mut operation.operation_id {
                    id.insert_str(0, "admin_");
                }
            }
        }
    }
}

fn operations(
    item: &mut utoipa::openapi::PathItem,
) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}
