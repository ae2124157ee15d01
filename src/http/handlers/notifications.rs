//! The notifications of the signed-in player.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::wire::{
    MarkRequest, NotificationListWire, NotificationSettingsWire, PriorityWire, UnreadWire,
    read_parameter, read_priority,
};
use crate::domain::Timestamp;
use crate::http::extract::{Body, Caller, Query, id, language, page_limit};
use crate::http::pages::cursor;
use crate::http::{Api, json, json_with, private_json};
use crate::store::notifications::Filter;

const LIST: &str = "notifications";
const MISSING: &str = "The player has no such notification.";
const VARY: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("Authorization, Accept-Language"));

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NotificationsQuery {
    /// Only unread ones.
    #[serde(default)]
    unread: Option<bool>,
    /// Only those of this priority.
    #[serde(default)]
    #[param(value_type = Option<PriorityWire>)]
    priority: Option<String>,
    /// The maximum number of entries.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// List notifications, with the announcements that were made after the account, newest first.
#[utoipa::path(
    get, path = "/api/v1/me/notifications", tag = "events", operation_id = "listNotifications",
    params(NotificationsQuery, ("Accept-Language" = Option<String>, Header)),
    responses((status = 200, body = NotificationListWire)), security(("player" = []))
)]
pub async fn list_notifications(
    api: web::Data<Api>,
    request: HttpRequest,
    caller: Caller,
    query: Query<NotificationsQuery>,
) -> Result<HttpResponse, Problem> {
    let NotificationsQuery { unread, priority, limit, cursor: position } = query.0;
    let player = caller.player();
    let limit = page_limit(limit)?;
    let priority = priority.map(|name| {
        let wrong = || Problem::malformed("priority", "must be high, medium or low");
        read_priority(&name).ok_or_else(wrong)
    });
    let position = position
        .map(|it| cursor::decode(&api.accounts, LIST, player.as_bytes(), &it))
        .transpose()?;
    let filter = Filter {
        priority: priority.transpose()?,
        unread: unread.unwrap_or(false),
        before: position.as_deref().and_then(decode_position),
        limit: i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1,
    };
    let state = api.game.state(&caller.handle).await?;
    let mut list = api.notifications.list(player, &filter).await?;
    let more = list.entries.len() > limit;
    list.entries.truncate(limit);
    let last = list.entries.last().filter(|_| more).map(|last| encode_position(last.at, last.id));
    let next = last.map(|last| cursor::encode(&api.accounts, LIST, player.as_bytes(), &last));
    let language = language(&request, state.record.player.language);
    let mut response = HttpResponse::Ok();
    response.insert_header(VARY);
    Ok(json_with(response, &NotificationListWire::new(list, language, next)))
}

fn encode_position(at: Timestamp, id: Uuid) -> Vec<u8> {
    [&at.as_micros().to_be_bytes()[..], id.as_bytes()].concat()
}

fn decode_position(bytes: &[u8]) -> Option<(Timestamp, Uuid)> {
    let (at, id) = bytes.split_first_chunk()?;
    Some((Timestamp::from_micros(i64::from_be_bytes(*at)), Uuid::from_slice(id).ok()?))
}

/// Mark notifications and announcements as read. A repeat changes nothing.
#[utoipa::path(
    post, path = "/api/v1/me/notifications/read", tag = "events", operation_id = "markNotificationsRead",
    request_body = MarkRequest,
    responses((status = 200, body = inline(UnreadAnswer))), security(("player" = []))
)]
pub async fn mark_read(
    api: web::Data<Api>,
    caller: Caller,
    body: Body<MarkRequest>,
) -> Result<HttpResponse, Problem> {
    let marked = body.value.marked()?;
    let unread = api.notifications.mark_read(caller.player(), &marked).await?;
    Ok(json(StatusCode::OK, &UnreadAnswer { unread: unread.into() }))
}

/// The counts after a change.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct UnreadAnswer {
    unread: UnreadWire,
}

/// Remove a notification or an announcement from the player's list.
#[utoipa::path(
    delete, path = "/api/v1/me/notifications/{id}", tag = "events", operation_id = "deleteNotification",
    params(("id" = Uuid, Path)), responses((status = 204)), security(("player" = []))
)]
pub async fn delete_notification(
    api: web::Data<Api>,
    caller: Caller,
    notification: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let notification = id(&notification, MISSING)?;
    api.notifications.delete(caller.player(), notification).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read which types of notifications are muted.
#[utoipa::path(
    get, path = "/api/v1/me/notification-settings", tag = "events", operation_id = "readNotificationSettings",
    responses((status = 200, body = NotificationSettingsWire)), security(("player" = []))
)]
pub async fn read_settings(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, Problem> {
    let muted_types = api.notifications.muted_types(caller.player()).await?;
    Ok(private_json(&NotificationSettingsWire { muted_types }))
}

/// Set which types of notifications are muted.
#[utoipa::path(
    put, path = "/api/v1/me/notification-settings", tag = "events", operation_id = "changeNotificationSettings",
    request_body = NotificationSettingsWire,
    responses((status = 200, body = NotificationSettingsWire)), security(("player" = []))
)]
pub async fn change_settings(
    api: web::Data<Api>,
    caller: Caller,
    body: Body<NotificationSettingsWire>,
) -> Result<HttpResponse, Problem> {
    let muted_types = body.value.types()?;
    api.notifications.mute_types(caller.player(), &muted_types).await?;
    Ok(json(StatusCode::OK, &NotificationSettingsWire { muted_types }))
}
