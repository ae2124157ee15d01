//! Building the rankings anew.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::Problem;
use crate::http::extract::Operator;
use crate::http::{Api, json};

/// What was begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RankingsRebuild)]
pub struct RebuildWire {
    status: RebuildStatusWire,
}

/// Whether a rebuild has `started`, or one was `running` already, after which this one follows.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RebuildStatus)]
pub enum RebuildStatusWire {
    Started,
    Running,
}

/// Build the rankings anew from the database. It goes on after the answer; the boards are served meanwhile.
#[utoipa::path(
    post, path = "/api/v1/admin/rankings/rebuild", tag = "admin", operation_id = "adminRebuildRankings",
    responses((status = 202, body = RebuildWire)), security(("operator" = []))
)]
pub async fn rebuild_rankings(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let started = api.rankings.demand_rebuild();
    let status = if started { RebuildStatusWire::Started } else { RebuildStatusWire::Running };
    Ok(json(StatusCode::ACCEPTED, &RebuildWire { status }))
}
