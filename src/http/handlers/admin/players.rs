//! Operators search, read and change players.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::wire::{ExportWire, Page, StatePlace, StateWire, read_parameter, rfc3339};
use crate::domain::Command;
use crate::domain::text::{self, TextLimits};
use crate::game::{self, Asked, Request};
use crate::http::extract::{Body, Key, Operator, Query, id, page_limit};
use crate::http::handlers::me::{Answered, answer_with};
use crate::http::pages::cursor;
use crate::http::{Api, json};
use crate::store::operators::FoundPlayer;

const MISSING: &str = "There is no such player.";
const LIST: &str = "admin players";
const REASON: TextLimits = TextLimits { characters: 200, bytes: 1024 };
const MAX_GRANT: f64 = 1e300;

/// The query of the search.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlayersQuery {
    /// An id, the start of a username, or a part of a display name. The default matches all players.
    #[serde(default)]
    #[param(pattern = "^[^\\u0000]*$")]
    query: Option<String>,
    /// The maximum number of players.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// A player that a search found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundPlayer)]
pub struct FoundPlayerWire {
    player_id: Uuid,
    display_name: String,
    /// Null for guests.
    #[schema(required)]
    username: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// Null if the player is not banned.
    #[schema(required, format = DateTime)]
    banned_at: Option<String>,
}

impl From<FoundPlayer> for FoundPlayerWire {
    fn from(player: FoundPlayer) -> Self {
        Self {
            player_id: player.id,
            display_name: player.display_name,
            username: player.username,
            created_at: rfc3339(player.created_at),
            last_seen_at: rfc3339(player.last_seen_at),
            banned_at: player.banned_at.map(rfc3339),
        }
    }
}

/// The reason, which is stored in the audit log.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// 1 to 200 user-perceived characters (grapheme clusters) and at most 1024 bytes, without surrounding white space.
    /// Control characters are not allowed.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 1024, example = "a script")]
    reason: Option<String>,
}

/// A grant of energy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    #[schema(exclusive_minimum = 0, maximum = 1e300, example = 1000)]
    energy: f64,
    /// Shown in the player's ledger. 1 to 200 user-perceived characters (grapheme clusters) and at most 1024 bytes,
    /// without surrounding white space. Control characters are not allowed.
    #[schema(min_length = 1, max_length = 1024, example = "a prize")]
    reason: String,
}

/// The result of a grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantOutcome)]
pub struct GrantWire {
    #[serde(skip_serializing_if = "StatePlace::is_added_later")]
    #[schema(value_type = StateWire, required)]
    state: StatePlace,
}

/// Find players, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin/players", tag = "admin", operation_id = "adminSearchPlayers",
    params(PlayersQuery),
    responses((status = 200, body = Page<FoundPlayerWire>)), security(("operator" = []))
)]
pub async fn search_players(
    api: web::Data<Api>,
    _: Operator,
    query: Query<PlayersQuery>,
) -> Result<HttpResponse, Problem> {
    let PlayersQuery { query: text, limit, cursor: position } = query.0;
    let text = text.unwrap_or_default();
    if text.contains('\0') {
        return Err(Problem::malformed("query", "must not contain a NUL character"));
    }
    let limit = page_limit(limit)?;
    let position =
        position.map(|it| cursor::decode(&api.accounts, LIST, text.as_bytes(), &it)).transpose()?;
    let position = position.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let (players, more) = api.operators.search(&text, position, limit).await?;
    let last = players.last().filter(|_| more).map(|player| player.id);
    let page = Page::<FoundPlayerWire> {
        entries: players.into_iter().map(Into::into).collect(),
        next_cursor: last
            .map(|id| cursor::encode(&api.accounts, LIST, text.as_bytes(), id.as_bytes())),
    };
    Ok(json(StatusCode::OK, &page))
}

/// Read all data about a player.
#[utoipa::path(
    get, path = "/api/v1/admin/players/{id}", tag = "admin", operation_id = "adminReadPlayer",
    params(("id" = Uuid, Path)), responses((status = 200, body = ExportWire)),
    security(("operator" = []))
)]
pub async fn read_player(
    api: web::Data<Api>,
    _: Operator,
    player: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let player = id(&player, MISSING)?;
    let export = api.operators.inspect(player).await.map_err(problem_of)?;
    Ok(json(StatusCode::OK, &ExportWire::new(export, Uuid::nil())))
}

/// Ban a player. Every instance rejects its tokens within two seconds.
#[utoipa::path(
    post, path = "/api/v1/admin/players/{id}/ban", tag = "admin", operation_id = "adminBanPlayer",
    request_body = BanRequest,
    params(("id" = Uuid, Path)), responses((status = 204)), security(("operator" = []))
)]
pub async fn ban_player(
    api: web::Data<Api>,
    _: Operator,
    player: web::Path<String>,
    body: Body<BanRequest>,
) -> Result<HttpResponse, Problem> {
    set_banned(&api, &player, true, body.value).await
}

/// Lift a ban.
#[utoipa::path(
    post, path = "/api/v1/admin/players/{id}/unban", tag = "admin", operation_id = "adminUnbanPlayer",
    request_body = BanRequest,
    params(("id" = Uuid, Path)), responses((status = 204)), security(("operator" = []))
)]
pub async fn unban_player(
    api: web::Data<Api>,
    _: Operator,
    player: web::Path<String>,
    body: Body<BanRequest>,
) -> Result<HttpResponse, Problem> {
    set_banned(&api, &player, false, body.value).await
}

async fn set_banned(
    api: &Api,
    player: &str,
    banned: bool,
    request: BanRequest,
) -> Result<HttpResponse, Problem> {
    let player = id(player, MISSING)?;
    let reason = request.reason.as_deref().map(check_reason).transpose()?;
    api.operators.set_banned(player, banned, reason.as_deref()).await.map_err(problem_of)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Grant a player energy, with an entry in its ledger.
#[utoipa::path(
    post, path = "/api/v1/admin/players/{id}/grant", tag = "admin", operation_id = "adminGrantEnergy",
    request_body = GrantRequest,
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = GrantWire)), security(("operator" = []))
)]
pub async fn grant_energy(
    api: web::Data<Api>,
    _: Operator,
    player: web::Path<String>,
    key: Key,
    body: Body<GrantRequest>,
) -> Result<HttpResponse, Problem> {
    let player = id(&player, MISSING)?;
    let GrantRequest { energy, reason } = &body.value;
    let reason = check_reason(reason)?;
    if !(*energy > 0.0 && *energy <= MAX_GRANT) {
        return Err(Problem::unacceptable("energy", "must be more than 0 and at most 1e300"));
    }
    let command = Command::Grant { energy: *energy, reason };
    let asked = Asked { command: &command, expected_version: None, body: &body.raw };
    let key = key.of_operator(asked);
    let handle = api.game.handle(player);
    let request = Request { key, ..Request::of(&handle, command) };
    let answer = api.operators.grant(request).await.map_err(problem_of)?;
    answer_with(&api, &Answered { answer, handle }, &GrantWire { state: StatePlace })
}

fn check_reason(reason: &str) -> Result<String, Problem> {
    text::shown(reason, REASON).map_err(|unfit| Problem::unacceptable("reason", unfit.to_string()))
}

/// Converts an error of a call that names a player: an unknown player is a missing resource (404), not an invalid
/// token.
fn problem_of(error: game::Error) -> Problem {
    match error {
        game::Error::NoSuchPlayer => Problem::not_found(MISSING),
        error => error.into(),
    }
}
