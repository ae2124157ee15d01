//! HTTP: routes, handlers, middleware, and the OpenAPI document. The only modules that use actix-web are this one and
//! `app`.

mod context;
pub mod extract;
mod handlers;
mod limit_headers;
mod middleware;
mod openapi;
mod pages;
mod problem_response;
mod responses;
mod route_counters;
mod routes;
mod shedding;
mod thread_state;
mod token_cache;

pub use context::{Api, Options};
pub use handlers::operator_port::routes as operator_routes;
pub use limit_headers::Limits;
pub use middleware::request_context::RequestContext;
pub use openapi::document as openapi_document;
pub use pages::rankings::RankingsPages;
pub use routes::{probe_routes, routes};
pub use shedding::Shedding;
pub use thread_state::ThreadState;

use responses::{JSON, NEVER_KEPT, VARY_BY_CALLER, json, json_with, private_json};
