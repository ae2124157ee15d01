//! Building the rankings anew.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::extract::Operator;
use crate::http::problem::Problem;
use crate::http::{Api, json};

/// What was begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RankingsRebuild)]
pub struct RebuildWire {
    /// `started`, or `running` where a rebuild was under way, after which this one follows.
    status: &'static str,
}

/// Build the rankings anew from the database. It goes on after the answer; the boards are served meanwhile.
#[utoipa::path(
    post, path = "/api/v1/admin/rankings/rebuild", tag = "admin",
    responses((status = 202, body = RebuildWire)), security(("operator" = []))
)]
pub async fn rebuild_rankings(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let status = if api.rankings.demand_rebuild() { "started" } else { "running" };
    Ok(json(StatusCode::ACCEPTED, &RebuildWire { status }))
}
