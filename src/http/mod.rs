//! HTTP: routes, handlers, middleware, and the OpenAPI document. The only modules that use actix-web are this one and
//! `app`.
//!
//! # What a request costs
//!
//! Most requests repeat what the same client asked a second before. So each worker thread keeps the tokens that it has
//! checked, each with the player's cache handle: a request needs no signature check and no lookup (`token_cache`). The
//! part of a state's JSON that clicks do not change is rendered once and kept beside the row (`pages::state`). A 304 is
//! decided before anything is rendered.
//!
//! Threads do not write to the same memory, because a counter that two processors raise costs as much as parsing a
//! header. Each thread has its own state (`thread_state`), metrics have a part for each thread (`telemetry::striped`),
//! and the answers of a lane reach a thread together (`lanes::reply`).
//!
//! actix closes a connection whose body was not read. New connections are more expensive than refusals, so a refusal
//! reads the part of the body that has already arrived (`middleware`).

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
mod web;

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
