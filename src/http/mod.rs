//! HTTP: routes, handlers, middleware, and the OpenAPI document. The only modules that use actix-web are this one and
//! `app`.
//!
//! # Performance
//!
//! Most clients send a similar request every second. Each worker thread therefore caches verified tokens together with
//! the player's cache handle, so that most requests need no signature check and no lookup (`token_cache`). The part of
//! a state's JSON that clicks do not change is rendered once and cached with the row (`api::StatePage`). Whether the
//! response is a 304 is decided before anything is rendered.
//!
//! Worker threads avoid writing to shared memory, because incrementing a counter that another processor also writes
//! costs as much as parsing a header. Each thread has its own state (`thread_state`), metrics have one stripe per
//! thread (`telemetry::striped`), and a lane delivers its results to each thread in batches (`lanes::reply`).
//!
//! actix closes the connection if a request's body was not read. Opening a connection costs more than refusing a
//! request, so a refusal first reads the part of the body that has already arrived (`middleware`).

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
mod session_cookie;
mod shedding;
mod thread_state;
mod token_cache;
mod upgrade;
mod web;

pub use context::{Api, Options};
pub use handlers::operator_port::routes as operator_routes;
pub use limit_headers::Limits;
pub use middleware::request_context::RequestContext;
pub use openapi::asyncapi::document as asyncapi_document;
pub use openapi::document as openapi_document;
pub use pages::rankings::RankingsPages;
pub use routes::{probe_routes, routes};
pub use shedding::Shedding;
pub use thread_state::ThreadState;
pub use upgrade::{Serving, service};

use responses::{JSON, NO_STORE, VARY_BY_CALLER, json, json_with, private_json};
