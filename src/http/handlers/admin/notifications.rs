//! Operators send notifications and announcements, and withdraw them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::wire::{
    AdminNotificationRequest, AdminNotificationWire, Page, SentWire, read_parameter,
};
use crate::http::extract::{Body, Operator, Query, id, page_limit};
use crate::http::pages::cursor;
use crate::http::{Api, json};

const LIST: &str = "admin notifications";
const MISSING: &str = "There is no such notification.";

/// Send a notification to some players, or an announcement to everybody.
///
/// Without a future `at` everything is committed when this is answered, and otherwise at most 5 s after `at`. If an earlier
/// request had the same `dedupe_key`, the response is 200 with its id, and nothing is sent.
#[utoipa::path(
    post, path = "/api/v1/admin/notifications", tag = "admin", operation_id = "adminSendNotification",
    request_body = AdminNotificationRequest,
    responses((status = 202, body = SentWire), (status = 200, body = SentWire)),
    security(("operator" = []))
)]
pub async fn send_notification(
    api: web::Data<Api>,
    _: Operator,
    body: Body<AdminNotificationRequest>,
) -> Result<HttpResponse, Problem> {
    let mailing = body.value.mailing(api.game.now())?;
    let sent = api.notifications.send(mailing).await?;
    let status = if sent.repeated { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(status, &SentWire { id: sent.id }))
}

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AdminNotificationsQuery {
    /// The maximum number of notifications.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// List notifications that operators sent or are going to send, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin/notifications", tag = "admin", operation_id = "adminListNotifications",
    params(AdminNotificationsQuery),
    responses((status = 200, body = Page<AdminNotificationWire>)), security(("operator" = []))
)]
pub async fn list_notifications(
    api: web::Data<Api>,
    _: Operator,
    query: Query<AdminNotificationsQuery>,
) -> Result<HttpResponse, Problem> {
    let AdminNotificationsQuery { limit, cursor: position } = query.0;
    let limit = page_limit(limit)?;
    let position = position.map(|it| cursor::decode(&api.accounts, LIST, &[], &it)).transpose()?;
    let position = position.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let (mailings, more) = api.notifications.mailings(position, limit).await?;
    let last = mailings.last().filter(|_| more).map(|mailing| mailing.id);
    let page = Page::<AdminNotificationWire> {
        entries: mailings.into_iter().map(Into::into).collect(),
        next_cursor: last.map(|id| cursor::encode(&api.accounts, LIST, &[], id.as_bytes())),
    };
    Ok(json(StatusCode::OK, &page))
}

/// Withdraw a notification, whether it was sent or not. Nobody has it any more. A repeat changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/admin/notifications/{id}", tag = "admin", operation_id = "adminWithdrawNotification",
    params(("id" = Uuid, Path)), responses((status = 204)), security(("operator" = []))
)]
pub async fn withdraw_notification(
    api: web::Data<Api>,
    _: Operator,
    notification: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let notification = id(&notification, MISSING)?;
    api.notifications.withdraw(notification).await?;
    Ok(HttpResponse::NoContent().finish())
}
