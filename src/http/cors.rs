//! Which pages may call the API from another origin (the CORS protocol of the Fetch standard).

use actix_cors::Cors;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};

use super::Options;

/// What a page may send: the API's own headers, and those by which tracing libraries link a page's requests to ours.
const ALLOWED: [&str; 10] = [
    "authorization",
    "baggage",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// What a page may read of an answer, besides what every page may.
const EXPOSED: &str =
    "etag, idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// For how long a browser remembers the answer to a preflight. Browsers have limits of their own below it.
const MAX_AGE_SECONDS: usize = 86_400;

/// Lets pages of the configured origins call; without any, nothing is added to any answer.
pub fn cors(options: &Options) -> Cors {
    let origins = options.cors_allowed_origins.clone();
    Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers(ALLOWED)
        .expose_headers(EXPOSED.split(", "))
        .block_on_origin_mismatch(false)
        .max_age(MAX_AGE_SECONDS)
        .allowed_origin_fn(move |origin, _| {
            origin.to_str().is_ok_and(|origin| origins.contain(origin))
        })
}

/// The request's origin, where its pages may call.
pub(super) fn allowed_origin(options: &Options, headers: &HeaderMap) -> Option<HeaderValue> {
    if options.cors_allowed_origins.is_empty() {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    options.cors_allowed_origins.contain(origin.to_str().ok()?).then(|| origin.clone())
}

/// Lets a page of that origin read an answer that did not come from the routes.
pub(super) fn grant(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

/// Takes a preflight's list of headers away if it is empty, which browsers and proxies may send: the middleware refuses it,
/// though a list may have empty elements (RFC 9110, section 5.6.1).
pub(super) fn tidy_preflight(request: &mut ServiceRequest) {
    if request.method() != Method::OPTIONS {
        return;
    }
    let Some(list) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) else { return };
    let Ok(list) = list.to_str() else { return };
    let items: Vec<_> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let list = items.join(",");
    if list.is_empty() {
        request.headers_mut().remove(ACCESS_CONTROL_REQUEST_HEADERS);
    } else if let Ok(list) = HeaderValue::from_str(&list) {
        request.headers_mut().insert(ACCESS_CONTROL_REQUEST_HEADERS, list);
    }
}
