//! JSON answers and the headers that they share.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::api::problem::Problem;

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// `Cache-Control` of answers that no cache may keep.
pub const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// The header of every answer to a GET that depends on the caller.
pub const VARY_BY_CALLER: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("Authorization"));

/// As [`json`], for a GET whose answer depends on the caller.
pub fn private_json(body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(VARY_BY_CALLER);
    json_with(response, body)
}

/// An answer with a JSON body that no cache may keep, because it may contain tokens or a player's own data.
pub fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    json_with(HttpResponse::build(status), body)
}

/// As [`json`], with headers that are set already. A `Cache-Control` among them replaces the default.
pub fn json_with(mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = response.insert_header((header::CONTENT_TYPE, JSON)).body(body);
            if !response.headers().contains_key(header::CACHE_CONTROL) {
                response.headers_mut().insert(header::CACHE_CONTROL, NEVER_KEPT);
            }
            response
        }
        Err(error) => HttpResponse::from_error(Problem::internal(error)),
    }
}
