//! The list of seasons, and their standings.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::problem::Problem;
use crate::api::wire::{Page, SeasonRankingsWire, SeasonWire, read_parameter, season_of_id};
use crate::domain::Season;
use crate::http::extract::{Query, page_limit};
use crate::http::handlers::rankings::{part, serve_season};
use crate::http::pages::cursor;
use crate::http::{Api, json};

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SeasonsQuery {
    /// The maximum number of seasons.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// The query of the standings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StandingsQuery {
    /// The maximum number of ranks.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The number of top players to skip.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: Option<u64>,
}

/// List the seasons, newest first.
#[utoipa::path(
    get, path = "/api/v1/seasons", tag = "rankings", operation_id = "listSeasons", params(SeasonsQuery),
    responses((status = 200, body = Page<SeasonWire>))
)]
pub async fn list_seasons(
    api: web::Data<Api>,
    query: Query<SeasonsQuery>,
) -> Result<HttpResponse, Problem> {
    const LIST: &str = "seasons";
    let limit = page_limit(query.0.limit)?;
    let position = query.0.cursor.as_deref().map(|it| cursor::decode(&api.accounts, LIST, b"", it));
    let position: Option<[u8; 8]> = position.transpose()?.and_then(|it| it.try_into().ok());
    let before = position.map(|bytes| Season::from_number(i64::from_be_bytes(bytes)));
    let (seasons, more) = api.rankings.seasons(before, limit).await?;
    let last = seasons.last().filter(|_| more).map(|it| it.season.number().to_be_bytes());
    let page = Page::<SeasonWire> {
        entries: seasons.into_iter().map(Into::into).collect(),
        next_cursor: last.map(|it| cursor::encode(&api.accounts, LIST, b"", &it)),
    };
    Ok(json(StatusCode::OK, &page))
}

/// Read a page of a season's standings. A running season returns its current standings, a past season its final ones.
/// For about half a minute after a season has ended, its final standings do not exist yet and the response is 503.
#[utoipa::path(
    get, path = "/api/v1/seasons/{id}/rankings", tag = "rankings", operation_id = "readSeasonRankings",
    params(
        ("id" = String, Path, pattern = "^[0-9]{4}-w[0-9]{2}$", example = "2026-w02"),
        StandingsQuery,
        ("If-None-Match" = Option<String>, Header)
    ),
    responses(
        (status = 200, body = SeasonRankingsWire, headers(("ETag" = String))),
        (status = 304, description = "Not modified")
    )
)]
pub async fn read_season_rankings(
    api: web::Data<Api>,
    request: HttpRequest,
    season: web::Path<String>,
    query: Query<StandingsQuery>,
) -> Result<HttpResponse, Problem> {
    let part = part(query.0.offset, query.0.limit)?;
    let season = season_of_id(&season);
    let season = season.ok_or_else(|| Problem::not_found("There is no such season."))?;
    serve_season(&api, &request, season, part).await
}
