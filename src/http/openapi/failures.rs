//! Adds to each operation the problems that it may return.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Operation, is_admin, is_limited};
use crate::api::problem::{Code, body_schema};

/// Adds the problems of an operation, grouped by status. Equal responses share a component.
pub fn list(operation: &mut Operation<'_>, components: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(operation) {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let names: Vec<&str> = codes.iter().map(|code| code.names().0).collect();
        let name = names.join("-or-");
        let response = json!({
            "description": format!("`{}`", names.join("` or `")),
            "content": { "application/problem+json": { "schema": body_schema(&codes) } },
        });
        // Responses of probes are defined inline, because their headers differ.
        let response = if is_limited(operation.path) {
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            components.entry(name).or_insert(response);
            reference
        } else {
            response
        };
        operation.member("responses").insert(status.to_string(), response);
    }
}

fn codes(operation: &Operation<'_>) -> BTreeSet<Code> {
    let mut codes = BTreeSet::from([Code::Internal]);
    if is_limited(operation.path) {
        codes.extend([Code::RateLimited, Code::Unavailable]);
    }
    if operation.accepts_scheme("player") {
        codes.extend([Code::Unauthenticated, Code::TokenExpired, Code::PlayerBanned]);
    }
    if is_admin(operation.path) {
        // 404 is returned if no operator token is configured.
        codes.extend([Code::Unauthenticated, Code::Forbidden, Code::NotFound]);
    }
    if operation.has_body() {
        codes.extend([Code::InvalidRequest, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
    }
    if operation.has_parameter("query", None) || operation.has_parameter("header", Some("If-Match"))
    {
        codes.insert(Code::InvalidRequest);
    }
    if operation.has_parameter("header", Some("Idempotency-Key")) {
        codes.extend([Code::InvalidRequest, Code::IdempotencyKeyReused]);
    }
    if operation.has_parameter("path", None) || operation.has_parameter("query", Some("board")) {
        codes.insert(Code::NotFound);
    }
    codes.extend(specific(operation.id()));
    codes
}

/// The codes that are specific to an operation.
fn specific(id: &str) -> &'static [Code] {
    use Code::{
        AlreadyOwned, AlreadyRegistered, Forbidden, IdempotencyKeyReused, InsufficientEnergy,
        InvalidCredentials, NotFound, NothingToGain, PlayerBanned, RequirementNotMet, TokenExpired,
        Unauthenticated, UsernameTaken, ValidationFailed, VersionMismatch,
    };
    match id {
        "registerPlayer" => &[ValidationFailed, UsernameTaken, AlreadyRegistered],
        "logIn" => &[InvalidCredentials, PlayerBanned],
        "refreshTokens" => &[Forbidden, Unauthenticated, TokenExpired, PlayerBanned],
        "logOut" => &[Forbidden],
        "changePassword" => &[InvalidCredentials, ValidationFailed],
        "sendClicks"
        | "performActions"
        | "renamePlayer"
        | "adminBanPlayer"
        | "adminUnbanPlayer"
        | "adminGrantEnergy"
        | "markNotificationsRead"
        | "changeNotificationSettings" => &[ValidationFailed],
        "buyGenerators" => {
            &[ValidationFailed, InsufficientEnergy, RequirementNotMet, VersionMismatch]
        }
        "buyUpgrade" => &[InsufficientEnergy, RequirementNotMet, AlreadyOwned, VersionMismatch],
        "prestige" => &[NothingToGain, VersionMismatch],
        "pollEvents" => &[NotFound],
        "adminSendNotification" => &[ValidationFailed, IdempotencyKeyReused],
        "adminReplaceCatalog" => &[ValidationFailed, VersionMismatch],
        "adminRetryJob" => &[RequirementNotMet],
        _ => &[],
    }
}
