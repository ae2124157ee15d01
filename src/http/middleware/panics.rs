//! Requests whose handling panics: only that request fails, and it is answered like any fault of the server.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::Error;
use actix_web::HttpResponse;
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::api::problem::Problem;
use crate::http::middleware::cors::Page;

/// Runs a part of handling a request; `None` if it panicked. State that requests share is protected by locks that
/// ignore poisoning, and by guards that release what they hold when they are dropped.
pub(super) fn caught<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// The answer to a request that panicked. The panic itself was written to standard error when it happened.
pub(super) fn answer(request_id: (HeaderName, HeaderValue), page: Option<Page>) -> Error {
    let id = request_id.1.to_str().unwrap_or_default();
    tracing::error!(request.id = id, "a request panicked");
    let body = Problem::internal("it panicked").body(id);
    let mut response = HttpResponse::InternalServerError()
        .insert_header((CONTENT_TYPE, "application/problem+json"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(request_id)
        .body(body);
    if let Some(page) = page {
        page.grant(response.headers_mut());
    }
    InternalError::from_response("a request panicked", response).into()
}
