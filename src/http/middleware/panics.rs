//! Handling of panics: only the request that panicked fails, with a 500 like any other internal error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::Error;
use actix_web::HttpResponse;
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::api::problem::Problem;
use crate::http::middleware::cors::Page;

/// Runs a part of the handling of a request. Returns `None` if it panicked. Unwinding is safe, because shared state is
/// protected by locks that ignore poisoning and by guards that release their resources when they are dropped.
pub(super) fn caught<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// The response to a request that panicked. The panic message was already written to standard error.
pub(super) fn response(request_id: (HeaderName, HeaderValue), page: Option<Page>) -> Error {
    let id = request_id.1.to_str().unwrap_or_default();
    tracing::error!(request.id = id, "a request panicked");
    let body = Problem::internal("the handler panicked").body(id);
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
