//! Which pages may call the API from another origin (the CORS protocol of the Fetch standard). It is done at the edge, so that it
//! holds for every answer: those of routes, those of a server that is starting, and those to requests that panicked.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};

use crate::api::problem::Problem;
use crate::http::Options;

const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// What a page may send: the API's own headers, and those by which tracing libraries link what a page does to what the server
/// does.
const ALLOWED_HEADERS: &str = "authorization, baggage, content-type, idempotency-key, if-match, if-none-match, \
                               sentry-trace, traceparent, tracestate, x-request-id";

/// What a page may read of an answer, besides what every page may.
const EXPOSED_HEADERS: &str =
    "etag, idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// For how long a browser may remember the answer to a preflight, in seconds. Browsers have lower limits of their own.
const MAX_AGE: &str = "86400";

/// What answers depend on where there are configured origins.
const VARY_BY_ORIGIN: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The page that a request comes from, where the configuration names origins.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Its origin, if it may call.
    allowed: Option<HeaderValue>,
}

impl Page {
    /// The page that a request comes from; nothing where the configuration names no origin, as CORS has no part in it then.
    pub(super) fn of(options: &Options, headers: &HeaderMap) -> Option<Self> {
        if options.cors_allowed_origins.is_empty() {
            return None;
        }
        let is_allowed = |origin: &&HeaderValue| {
            let origin = origin.to_str();
            origin.is_ok_and(|origin| options.cors_allowed_origins.contain(origin))
        };
        Some(Self { allowed: headers.get(ORIGIN).filter(is_allowed).cloned() })
    }

    /// The answer to a preflight, but for what [`Page::grant`] adds; nothing where the request is none.
    ///
    /// # Errors
    /// 400 where the page may not send what it asks about. It is granted nothing at all then.
    pub(super) fn preflight(
        &mut self,
        request: &ServiceRequest,
    ) -> Option<Result<HttpResponse, Problem>> {
        let headers = request.headers();
        let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS || !headers.contains_key(ORIGIN) {
            return None;
        }
        let mut names = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
        let refused = if self.allowed.is_none() {
            Some((ORIGIN, "is none of those whose pages may call"))
        } else if !lists(ALLOWED_METHODS, method) {
            Some((ACCESS_CONTROL_REQUEST_METHOD, "is no method of the API"))
        } else if !names.all(|names| lists(ALLOWED_HEADERS, names)) {
            Some((ACCESS_CONTROL_REQUEST_HEADERS, "names a header that pages may not send"))
        } else {
            None
        };
        if let Some((field, message)) = refused {
            self.allowed = None;
            return Some(Err(Problem::malformed(field.as_str(), message)));
        }
        let mut response = HttpResponse::Ok();
        response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS));
        response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS));
        response.insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        Some(Ok(response.finish()))
    }

    /// Says in an answer's headers that it depends on the origin, and lets a page that may call read it.
    pub(super) fn grant(self, headers: &mut HeaderMap) {
        // In one line with what is there already, as some caches and clients look at one only.
        let before = headers.get(VARY).and_then(|value| value.to_str().ok());
        let vary = before.map(|before| format!("{before}, {VARY_BY_ORIGIN}"));
        let vary = vary.and_then(|vary| HeaderValue::try_from(vary).ok());
        headers.insert(VARY, vary.unwrap_or(HeaderValue::from_static(VARY_BY_ORIGIN)));
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers
                .insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        }
    }
}

/// Whether a list of names holds all of another, which may have empty elements (RFC 9110, section 5.6.1).
fn lists(allowed: &str, names: &HeaderValue) -> bool {
    let Ok(names) = names.to_str() else { return false };
    let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.all(|name| allowed.split(", ").any(|allowed| allowed.eq_ignore_ascii_case(name)))
}
