//! HTTP: routes, what handlers take and answer, and the OpenAPI document. Handlers hold no rules; they read a request,
//! make one call below, and write what came of it.

pub mod extract;
mod handlers;
mod middleware;
mod openapi;
mod pages;
mod problem_response;
mod routes;
mod thread_state;
mod token_cache;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

pub use handlers::operator_port::routes as operator_routes;
pub use handlers::rankings::RankingsPages;
pub use middleware::limits::Limits;
pub use middleware::request_context::Edge;
pub use middleware::shedding::Shedding;
pub use openapi::document as openapi_document;
pub use routes::{probe_routes, routes};
pub use thread_state::Worker;

use crate::accounts::Accounts;
use crate::catalogue::Catalogues;
use crate::config::{Origins, Secret};
use crate::game::Game;
use crate::health::Health;
use crate::operators::Operators;
use crate::rankings::Rankings;
use crate::redis_client::Redis;
use crate::telemetry::metrics::Metrics;

/// All that handlers may reach. Each worker thread has a copy, as counting who uses a shared one would be shared too.
#[derive(Clone)]
pub struct Api {
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub catalogues: Arc<Catalogues>,
    pub operators: Arc<Operators>,
    pub rankings: Arc<Rankings>,
    pub health: Arc<Health>,
    /// None where the configuration names none.
    pub redis: Option<Redis>,
    pub limits: Arc<Limits>,
    pub shedding: Arc<Shedding>,
    pub metrics: Metrics,
    pub options: Arc<Options>,
    pub rankings_pages: Arc<RankingsPages>,
}

/// What the configuration says about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Without one the admin routes are 404.
    pub admin_token: Option<Secret>,
    /// Origins of pages that may call.
    pub cors_allowed_origins: Origins,
    /// Proxies whose word for the client's address is taken.
    pub trusted_proxy_hops: usize,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Of answers that nobody may keep.
const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// What every answer to a GET that shows something of the caller's own carries: it depends on who asks.
const VARY_BY_CALLER: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("Authorization"));

/// As [`json`], for a GET whose answer depends on who asks.
fn private_json(body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(VARY_BY_CALLER);
    json_with(response, body)
}

/// An answer with a JSON body, which nobody may keep: it may hold tokens, and is a player's own.
fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    json_with(HttpResponse::build(status), body)
}

/// As [`json`], with headers that are set already. Only a `Cache-Control` among them lets the answer be kept.
fn json_with(mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = response.insert_header((header::CONTENT_TYPE, JSON)).body(body);
            if !response.headers().contains_key(header::CACHE_CONTROL) {
                response.headers_mut().insert(header::CACHE_CONTROL, NEVER_KEPT);
            }
            response
        }
        Err(error) => HttpResponse::from_error(crate::api::problem::Problem::internal(error)),
    }
}
