//! The OpenAPI document, generated from the handlers, and the `AsyncAPI` document of sockets.

pub mod asyncapi;
pub mod docs;
mod failures;
mod headers;
mod tidy;

use serde_json::{Map, Value};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::api::problem::{self, FieldError};
use crate::api::wire::{AnnouncementWire, CountWire, MaxWire, NotificationWire, QuantityWire};
use crate::http::handlers::{
    admin, auth, catalogue, events, health, me, notifications, players, rankings, seasons,
};
use crate::http::session_cookie;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Idlewatt",
        description = "The backend of an idle-energy game. Sign in as a guest, click, buy generators, and watch \
                       energy rise.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "The server that this document is from")),
    tags(
        (name = "auth", description = "Sign-in, sign-out and sessions"),
        (name = "game", description = "The game"),
        (name = "events", description = "Streams of events, notifications and announcements"),
        (name = "rankings", description = "Boards and seasons"),
        (name = "operators", description = "Health probes"),
        (name = "admin", description = "Administration by operators")
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
        catalogue::read_catalog,
        me::read_state,
        me::change_profile,
        me::delete_player,
        me::click,
        me::buy_generator,
        me::buy_upgrade,
        me::prestige,
        me::act,
        me::read_ledger,
        me::export,
        events::poll_events,
        events::list_streams,
        notifications::list_notifications,
        notifications::mark_read,
        notifications::delete_notification,
        notifications::read_settings,
        notifications::change_settings,
        players::read_profile,
        rankings::read_rankings,
        rankings::read_own_ranking,
        seasons::list_seasons,
        seasons::read_season_rankings,
        health::healthz,
        health::readyz,
        admin::catalogue::read_catalog,
        admin::catalogue::replace_catalog,
        admin::jobs::list_jobs,
        admin::jobs::retry_job,
        admin::jobs::discard_job,
        admin::notifications::list_notifications,
        admin::notifications::send_notification,
        admin::notifications::withdraw_notification,
        admin::rankings::rebuild_rankings,
        admin::players::search_players,
        admin::players::read_player,
        admin::players::ban_player,
        admin::players::unban_player,
        admin::players::grant_energy,
    ),
    components(schemas(FieldError, QuantityWire, CountWire, MaxWire, AnnouncementWire, NotificationWire)),
    modifiers(&Security, &Problems)
)]
struct Api;

/// The document: the annotations of the handlers, extended by what all operations have in common.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    tidy::name_pages(&mut document);
    let schemas = match &mut document["components"]["schemas"] {
        Value::Object(schemas) => {
            tidy::close_unions(schemas);
            schemas.clone()
        }
        _ => Map::new(),
    };
    let shared = headers::parameters();
    let mut responses = Map::new();
    for_each_operation(&mut document, |mut operation| {
        tidy::split_text(&mut operation);
        tidy::describe_responses(&mut operation);
        tidy::body(&mut operation, &schemas);
        failures::list(&mut operation, &mut responses);
        headers::reference(&mut operation, &mut responses);
        tidy::parameters(&mut operation, &shared);
    });
    let components = &mut document["components"];
    components["headers"] = headers::headers();
    components["parameters"] = shared;
    components["responses"] = responses.into();
    tidy::join_lines(&mut document);
    document
}

fn is_limited(path: &str) -> bool {
    path.starts_with("/api/v1/")
}

fn is_admin(path: &str) -> bool {
    path.starts_with("/api/v1/admin/")
}

/// An operation of the document under construction.
struct Operation<'a> {
    path: &'a str,
    value: &'a mut Map<String, Value>,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.value.get("operationId").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the operation accepts a token of this scheme.
    fn accepts_scheme(&self, scheme: &str) -> bool {
        let schemes = self.value.get("security").and_then(Value::as_array);
        schemes.into_iter().flatten().any(|it| it.get(scheme).is_some())
    }

    fn has_body(&self) -> bool {
        self.value.contains_key("requestBody")
    }

    /// Whether the operation has a parameter in `location` (the member `in`), with this name if one is given.
    fn has_parameter(&self, location: &str, name: Option<&str>) -> bool {
        let parameters = self.value.get("parameters").and_then(Value::as_array);
        parameters.into_iter().flatten().any(|parameter| {
            parameter["in"] == location && name.is_none_or(|name| parameter["name"] == name)
        })
    }

    /// A member that is an object, created if it is missing.
    fn member(&mut self, name: &str) -> &mut Map<String, Value> {
        let member = self.value.entry(name).or_insert_with(|| Map::new().into());
        if !member.is_object() {
            *member = Map::new().into();
        }
        match member {
            Value::Object(members) => members,
            _ => unreachable!("it was made an object"),
        }
    }
}

fn for_each_operation(document: &mut Value, mut change: impl FnMut(Operation<'_>)) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(value) = operation.as_object_mut() {
                change(Operation { path, value });
            }
        }
    }
}

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("player", "An access token, which sign-in returns"),
            ("operator", "The server's ADMIN_TOKEN"),
        ] {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description))
                .build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
        let description =
            "The refresh token of a web page, set by a sign-in with `\"session\": \"cookie\"`";
        let cookie = ApiKeyValue::with_description(session_cookie::SECURE_NAME, description);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// Adds the schemas of problems.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        let schemas = problem::schemas().into_iter().map(|(name, schema)| (name, schema.into()));
        document.components.get_or_insert_default().schemas.extend(schemas);
    }
}
