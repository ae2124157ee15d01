//! JSON responses and their common headers.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::api::problem::Problem;

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The `Cache-Control` of responses that must not be cached.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The header of every GET response that depends on the caller.
pub const VARY_BY_CALLER: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("Authorization"));

/// Like [`json`], for a GET whose response depends on the caller.
pub fn private_json(body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(VARY_BY_CALLER);
    json_with(response, body)
}

/// A response with a JSON body that must not be cached, because it may contain tokens or private data of a player.
pub fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    json_with(HttpResponse::build(status), body)
}

/// Like [`json`], for a response that already has headers. If they include `Cache-Control`, it is kept.
pub fn json_with(mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = response.insert_header((header::CONTENT_TYPE, JSON)).body(body);
            if !response.headers().contains_key(header::CACHE_CONTROL) {
                response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
            }
            response
        }
        Err(error) => HttpResponse::from_error(Problem::internal(error)),
    }
}
