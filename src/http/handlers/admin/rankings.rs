//! Operators rebuild the rankings.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::Problem;
use crate::http::extract::Operator;
use crate::http::{Api, json};

/// The result of requesting a rebuild.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RankingsRebuild)]
pub struct RebuildWire {
    status: RebuildStatusWire,
}

/// `started`: the rebuild has started. `running`: another rebuild is running, and the requested one follows it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RebuildStatus)]
pub enum RebuildStatusWire {
    Started,
    Running,
}

/// Rebuild the rankings from the database. The rebuild continues after the response. Until it is complete, the current
/// boards are served.
#[utoipa::path(
    post, path = "/api/v1/admin/rankings/rebuild", tag = "admin", operation_id = "adminRebuildRankings",
    responses((status = 202, body = RebuildWire)), security(("operator" = []))
)]
pub async fn rebuild_rankings(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let started = api.rankings.demand_rebuild();
    let status = if started { RebuildStatusWire::Started } else { RebuildStatusWire::Running };
    Ok(json(StatusCode::ACCEPTED, &RebuildWire { status }))
}
