//! The API for the signed-in player.

use actix_web::http::header;
use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::api::StatePage;
use crate::api::problem::Problem;
use crate::api::wire::{
    ActionsRequest, ActionsWire, ClicksRequest, ClicksWire, ExpectingRequest, ExportWire,
    GeneratorPurchaseRequest, GeneratorPurchaseWire, LedgerEntryWire, ObjectWriter, Page,
    PrestigeWire, ProfileRequest, StatePlace, StateWire, UpgradePurchaseWire, read_parameter,
};
use crate::domain::{Action, Command, Outcome};
use crate::game::{Answer, Asked, CacheHandle, Request};
use crate::http::extract::{Body, Caller, Key, Query, former_caller, page_limit, slug};
use crate::http::pages::{cursor, etag};
use crate::http::{Api, JSON, NO_STORE, VARY_BY_CALLER, json_with, private_json, session_cookie};

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The header of a response that repeats an earlier outcome.
const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "true");

/// Read the state. With `If-None-Match` the response is 304 unless something has changed that the client cannot
/// extrapolate.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "game", operation_id = "readState",
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = StateWire, headers(("ETag" = String))),
        (status = 304, description = "Not modified")
    ),
    security(("player" = []))
)]
pub async fn read_state(
    api: web::Data<Api>,
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let state = api.game.state(&caller.handle).await?;
    let page = StatePage::of(&state)?;
    let tag =
        HeaderValue::from_maybe_shared(Bytes::from(page.tag()?)).map_err(Problem::internal)?;
    let unchanged = etag::matches(&request, &tag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    // Appending a header is cheaper than inserting one, which searches for a value to replace.
    response.append_header((header::ETAG, tag));
    response.append_header((header::CACHE_CONTROL, PRIVATE));
    response.append_header(VARY_BY_CALLER);
    if unchanged {
        return Ok(response.finish());
    }
    let mut body = Vec::new();
    page.write(&mut body)?;
    Ok(response.append_header((header::CONTENT_TYPE, JSON)).body(body))
}

/// A mutation as the client sent it.
struct Sent<'a> {
    caller: Caller,
    key: &'a Key,
    raw: &'a [u8],
    expected_version: Option<u64>,
}

/// The result of a mutation, and the handle of the player's cache entry.
pub struct Answered {
    pub answer: Answer,
    pub handle: CacheHandle,
}

/// Applies a mutation.
async fn perform(api: &Api, sent: Sent<'_>, command: Command) -> Result<Answered, Problem> {
    let expected_version = sent.expected_version;
    let asked = Asked { command: &command, expected_version, body: sent.raw };
    let handle = sent.caller.handle;
    let key = sent.key.of(asked);
    let request = Request { key, expected_version, ..Request::of(&handle, command) };
    Ok(Answered { answer: api.game.perform(request).await?, handle })
}

/// The response to a mutation: its outcome and the state after it.
pub fn answer_with(
    api: &Api,
    answered: &Answered,
    outcome: &impl Serialize,
) -> Result<HttpResponse, Problem> {
    let Answered { answer, handle } = answered;
    let state = api.game.state_after(answer, handle);
    let mut body = ObjectWriter::of(outcome).map_err(Problem::internal)?;
    StatePage::of(&state)?.write(body.value_of("state"))?;
    Ok(respond(answer, body.finish()))
}

fn respond(answer: &Answer, body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.append_header((header::CONTENT_TYPE, JSON));
    response.append_header((header::CACHE_CONTROL, NO_STORE));
    if answer.replayed {
        response.insert_header(REPLAYED);
    }
    response.body(body)
}

/// The problem if a stored outcome belongs to another kind of command than the request. This happens only if the stored
/// record was changed from outside.
fn mismatched(outcome: &Outcome) -> Problem {
    Problem::internal(format!("the stored outcome is of another kind of command: {outcome:?}"))
}

/// Click. Clicks beyond the allowed rate are not credited; `accepted` is the number of credited clicks.
#[utoipa::path(
    post, path = "/api/v1/me/clicks", tag = "game", operation_id = "sendClicks",
    request_body = ClicksRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = ClicksWire)), security(("player" = []))
)]
pub async fn click(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    body: Body<ClicksRequest>,
) -> Result<HttpResponse, Problem> {
    let command = body.value.command()?;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version: None };
    let answered = perform(&api, sent, command).await?;
    match answered.answer.outcome {
        Outcome::Clicked { accepted } => {
            answer_with(&api, &answered, &ClicksWire { accepted, state: StatePlace })
        }
        ref other => Err(mismatched(other)),
    }
}

/// Buy generators. Either `quantity` of them are bought or none; `"max"` buys as many as the player can afford.
#[utoipa::path(
    post, path = "/api/v1/me/generators/{id}/purchase", tag = "game", operation_id = "buyGenerators",
    request_body = GeneratorPurchaseRequest,
    params(
        ("id" = String, Path, min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$", example = "wind_turbine"),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = GeneratorPurchaseWire)), security(("player" = []))
)]
pub async fn buy_generator(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    generator: web::Path<String>,
    body: Body<GeneratorPurchaseRequest>,
) -> Result<HttpResponse, Problem> {
    let id = slug(&generator, "The catalogue has no such generator.")?;
    let quantity = body.value.quantity()?;
    let command = Command::Act(Action::BuyGenerator { id, quantity });
    let expected_version = body.value.expected_version;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version };
    let answered = perform(&api, sent, command).await?;
    match answered.answer.outcome {
        Outcome::BoughtGenerators { purchased, spent } => answer_with(
            &api,
            &answered,
            &GeneratorPurchaseWire { purchased, spent, state: StatePlace },
        ),
        ref other => Err(mismatched(other)),
    }
}

/// Buy an upgrade.
#[utoipa::path(
    post, path = "/api/v1/me/upgrades/{id}/purchase", tag = "game", operation_id = "buyUpgrade",
    request_body = ExpectingRequest,
    params(
        ("id" = String, Path, min_length = 1, max_length = 64, pattern = "^[a-z0-9_]+$", example = "work_gloves"),
        ("Idempotency-Key" = Option<String>, Header)
    ),
    responses((status = 200, body = UpgradePurchaseWire)), security(("player" = []))
)]
pub async fn buy_upgrade(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    upgrade: web::Path<String>,
    body: Body<ExpectingRequest>,
) -> Result<HttpResponse, Problem> {
    let id = slug(&upgrade, "The catalogue has no such upgrade.")?;
    let command = Command::Act(Action::BuyUpgrade { id });
    let expected_version = body.value.expected_version;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version };
    let answered = perform(&api, sent, command).await?;
    match answered.answer.outcome {
        Outcome::BoughtUpgrade { spent } => {
            answer_with(&api, &answered, &UpgradePurchaseWire { spent, state: StatePlace })
        }
        ref other => Err(mismatched(other)),
    }
}

/// Reset the player in exchange for more cores.
#[utoipa::path(
    post, path = "/api/v1/me/prestige", tag = "game", operation_id = "prestige",
    request_body = ExpectingRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = PrestigeWire)), security(("player" = []))
)]
pub async fn prestige(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    body: Body<ExpectingRequest>,
) -> Result<HttpResponse, Problem> {
    let expected_version = body.value.expected_version;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version };
    let answered = perform(&api, sent, Command::Prestige).await?;
    match answered.answer.outcome {
        Outcome::Prestiged { gained_cores } => {
            answer_with(&api, &answered, &PrestigeWire { gained_cores, state: StatePlace })
        }
        ref other => Err(mismatched(other)),
    }
}

/// Perform up to 32 actions in order, in one commit. Each has its own outcome or problem.
#[utoipa::path(
    post, path = "/api/v1/me/actions", tag = "game", operation_id = "performActions",
    request_body = ActionsRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = ActionsWire)), security(("player" = []))
)]
pub async fn act(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    body: Body<ActionsRequest>,
) -> Result<HttpResponse, Problem> {
    let command = body.value.command()?;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version: None };
    let answered = perform(&api, sent, command).await?;
    match &answered.answer.outcome {
        Outcome::Acted { results } => {
            let results = results.iter().map(Into::into).collect();
            answer_with(&api, &answered, &ActionsWire { results, state: StatePlace })
        }
        other => Err(mismatched(other)),
    }
}

/// Change the display name, the language of texts, or both.
#[utoipa::path(
    patch, path = "/api/v1/me", tag = "game", operation_id = "renamePlayer", request_body = ProfileRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = StateWire)), security(("player" = []))
)]
pub async fn change_profile(
    api: web::Data<Api>,
    caller: Caller,
    key: Key,
    body: Body<ProfileRequest>,
) -> Result<HttpResponse, Problem> {
    let command = body.value.command()?;
    let sent = Sent { caller, key: &key, raw: &body.raw, expected_version: None };
    let Answered { answer, handle } = perform(&api, sent, command).await?;
    let state = api.game.state_after(&answer, &handle);
    let mut body = Vec::new();
    StatePage::of(&state)?.write(&mut body)?;
    Ok(respond(&answer, body))
}

/// Delete the account and all data about the player.
#[utoipa::path(
    delete, path = "/api/v1/me", tag = "game", operation_id = "deletePlayer",
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 204)), security(("player" = []))
)]
pub async fn delete_player(
    api: web::Data<Api>,
    request: HttpRequest,
    key: Key,
) -> Result<HttpResponse, Problem> {
    use actix_web::FromRequest;
    let refused = match Caller::extract(&request).await {
        Ok(caller) => {
            match api.accounts.delete_player(caller.player(), key.text.as_deref()).await {
                Ok(()) => {
                    let mut response = HttpResponse::NoContent().finish();
                    session_cookie::clear(&mut response, &request);
                    return Ok(response);
                }
                Err(error) => error.into(),
            }
        }
        Err(problem) => problem,
    };
    // The token of a deleted player is no longer valid, but repeating the deletion must succeed.
    if let (Some(key), Some(former)) = (&key.text, former_caller(&request, &api)?)
        && api.accounts.was_deleted_by(former.player, key).await?
    {
        return Ok(HttpResponse::NoContent().insert_header(REPLAYED).finish());
    }
    Err(refused)
}

/// The query of the ledger.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// The maximum number of entries.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// Read the ledger, newest first.
#[utoipa::path(
    get, path = "/api/v1/me/ledger", tag = "game", operation_id = "readLedger",
    params(LedgerQuery),
    responses((status = 200, body = Page<LedgerEntryWire>)), security(("player" = []))
)]
pub async fn read_ledger(
    api: web::Data<Api>,
    caller: Caller,
    query: Query<LedgerQuery>,
) -> Result<HttpResponse, Problem> {
    const LIST: &str = "ledger";
    let player = caller.player();
    let limit = page_limit(query.0.limit)?;
    let position = query.0.cursor.as_deref();
    let position = position.map(|it| cursor::decode(&api.accounts, LIST, player.as_bytes(), it));
    let position: Option<[u8; 8]> = position.transpose()?.and_then(|it| it.try_into().ok());
    api.game.note_presence(&caller.handle);
    let (lines, more) = api.game.ledger(player, position.map(u64::from_be_bytes), limit).await?;
    let last = lines.last().filter(|_| more).map(|line| line.version.to_be_bytes());
    let page = Page::<LedgerEntryWire> {
        entries: lines.into_iter().map(Into::into).collect(),
        next_cursor: last.map(|it| cursor::encode(&api.accounts, LIST, player.as_bytes(), &it)),
    };
    Ok(private_json(&page))
}

/// Download all data about the player.
#[utoipa::path(
    get, path = "/api/v1/me/export", tag = "game", operation_id = "exportPlayer",
    responses((status = 200, body = ExportWire)),
    security(("player" = []))
)]
pub async fn export(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, Problem> {
    api.game.note_presence(&caller.handle);
    let export = api.game.export(caller.player()).await?;
    let mut response = HttpResponse::Ok();
    let disposition = "attachment; filename=\"idlewatt-export.json\"";
    response.insert_header((header::CONTENT_DISPOSITION, disposition));
    response.insert_header(VARY_BY_CALLER);
    Ok(json_with(response, &ExportWire::new(export, caller.identity.session)))
}
