//! Pages of boards, and the caller's own rank.

use std::time::{Duration, Instant};

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::problem::Problem;
use crate::api::wire::{
    BoardWire, OwnRankingWire, RankingsWire, SeasonRankingsWire, read_parameter,
};
use crate::domain::Season;
use crate::http::extract::{Caller, Query, page_limit};
use crate::http::pages::rankings::{ListKey, PageKey};
use crate::http::pages::ready::{Content, Page};
use crate::http::{Api, private_json};
use crate::rankings::{Board, Error, Unavailable};

/// How long a page of a board is cached. Scores are published every four seconds, so this keeps their age well below
/// the documented ten seconds.
const KEEP_BOARD: Duration = Duration::from_secs(1);
/// How long a page of final standings is cached. They change only when players are banned or deleted.
const KEEP_FINAL: Duration = Duration::from_secs(5);
/// How long shared caches may keep a page.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// How long a request waits for boards that are being built, for example after the server has started.
const MAX_WAIT: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The maximum offset, which is larger than any board.
const MAX_OFFSET: u64 = 1_000_000_000;
/// The default number of players on each side of the caller.
const DEFAULT_AROUND: usize = 5;
const MAX_AROUND: usize = 25;

/// The query of a board.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RankingsQuery {
    /// The board.
    #[serde(default)]
    #[param(value_type = Option<BoardWire>, default = "lifetime_energy")]
    board: Option<String>,
    /// The maximum number of players.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The number of top players to skip.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: Option<u64>,
}

/// The query of the caller's own ranking.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnRankingQuery {
    /// The board.
    #[serde(default)]
    #[param(value_type = Option<BoardWire>, default = "lifetime_energy")]
    board: Option<String>,
    /// The maximum number of players on each side.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 0, maximum = 25, default = 5)]
    around: Option<usize>,
}

/// Read a page of a board. Scores of players who were active or changed in the last minute are at most 10 s old, those
/// of other players at most 10 minutes.
#[utoipa::path(
    get, path = "/api/v1/rankings", tag = "rankings", operation_id = "readRankings",
    params(RankingsQuery, ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = RankingsWire, headers(("ETag" = String))),
        (status = 304, description = "Not modified")
    )
)]
pub async fn read_rankings(
    api: web::Data<Api>,
    request: HttpRequest,
    query: Query<RankingsQuery>,
) -> Result<HttpResponse, Problem> {
    let board = board(query.0.board.as_deref())?;
    let (offset, limit) = part(query.0.offset, query.0.limit)?;
    let key = PageKey { list: ListKey::Board(board), offset, limit };
    let load = async || {
        let list = api.rankings.page(board, offset, limit).await?;
        Ok(Box::new(RankingsWire::new(board, list)) as Box<dyn Content>)
    };
    serve(&api, &request, key, KEEP_BOARD, load).await
}

/// Read the player's own rank and the adjacent ranks of a board.
#[utoipa::path(
    get, path = "/api/v1/rankings/me", tag = "rankings", operation_id = "readOwnRanking", params(OwnRankingQuery),
    responses((status = 200, body = OwnRankingWire)), security(("player" = []))
)]
pub async fn read_own_ranking(
    api: web::Data<Api>,
    caller: Caller,
    query: Query<OwnRankingQuery>,
) -> Result<HttpResponse, Problem> {
    let board = board(query.0.board.as_deref())?;
    let around = query.0.around.unwrap_or(DEFAULT_AROUND);
    if around > MAX_AROUND {
        return Err(Problem::malformed("around", "must be a whole number from 0 to 25"));
    }
    let player = caller.player();
    api.game.note_presence(&caller.handle);
    let found =
        wait_for_boards(async || api.rankings.surroundings(board, player, around).await).await?;
    Ok(private_json(&OwnRankingWire::new(board, found)))
}

fn board(name: Option<&str>) -> Result<Board, Problem> {
    let name = name.unwrap_or(Board::LifetimeEnergy.as_str());
    Board::named(name).ok_or_else(|| Problem::not_found("There is no such board."))
}

/// The validated offset and length of a page.
pub(super) fn part(offset: Option<u64>, limit: Option<usize>) -> Result<(usize, usize), Problem> {
    let limit = page_limit(limit)?;
    let offset = offset.unwrap_or(0);
    let message = "must be a whole number from 0 to 1000000000";
    let fits = usize::try_from(offset).ok().filter(|_| offset <= MAX_OFFSET);
    Ok((fits.ok_or_else(|| Problem::malformed("offset", message))?, limit))
}

/// Responds with a page of a season's standings.
pub(super) async fn serve_season(
    api: &Api,
    request: &HttpRequest,
    season: Season,
    (offset, limit): (usize, usize),
) -> Result<HttpResponse, Problem> {
    let running = season == Season::at(api.rankings.now());
    let key = PageKey { list: ListKey::Season { season, running }, offset, limit };
    let keep = if running { KEEP_BOARD } else { KEEP_FINAL };
    let load = async || {
        let standings = api.rankings.standings(season, offset, limit).await?;
        Ok(Box::new(SeasonRankingsWire::new(season, standings)) as Box<dyn Content>)
    };
    serve(api, request, key, keep, load).await
}

/// Responds with the cached page or with the page that `load` returns.
async fn serve(
    api: &Api,
    request: &HttpRequest,
    key: PageKey,
    keep: Duration,
    load: impl AsyncFn() -> Result<Box<dyn Content>, Error>,
) -> Result<HttpResponse, Problem> {
    let generation = api.rankings.generation();
    let make = async || {
        let content = match load().await {
            // Wait only if no page is cached: an old page is better than waiting for a new one.
            Err(Error::Unavailable(Unavailable::Incomplete)) if !api.rankings_pages.holds(key) => {
                wait_for_boards(&load).await?
            }
            result => result?,
        };
        Page::new(content, generation).map_err(Failed::Page)
    };
    let found = api.rankings_pages.get(key, keep, generation, make, Failed::allows_stale).await;
    let found = found.map_err(|failed| match failed {
        Failed::Load(error) => error.into(),
        Failed::Page(problem) => problem,
    })?;
    // No scores are updated while Postgres is unavailable.
    let stale = found.is_outdated || api.health.database_latency().is_none();
    Ok(found.page.ready(stale)?.answer(request, CACHE_CONTROL))
}

enum Failed {
    Load(Error),
    Page(Problem),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Load(error)
    }
}

impl Failed {
    /// Whether a store is unavailable, in which case the cached page may be served.
    fn allows_stale(&self) -> bool {
        match self {
            Self::Load(Error::Unavailable(_)) => true,
            Self::Load(Error::Store(error)) => error.is_passing(),
            _ => false,
        }
    }
}

/// Retries `request` for up to [`MAX_WAIT`] while the boards are being built.
async fn wait_for_boards<T>(request: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        match request().await {
            Err(Error::Unavailable(Unavailable::Incomplete)) if started.elapsed() < MAX_WAIT => {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}

impl Content for RankingsWire {
    fn body(&self, stale: bool) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Self { stale, ..self.clone() })
    }
}

impl Content for SeasonRankingsWire {
    fn body(&self, stale: bool) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Self { stale, ..self.clone() })
    }
}
