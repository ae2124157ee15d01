//! CORS: decides which pages of other origins may call the API (Fetch standard). It is part of the outermost layer, so
//! that it applies to every response, including those during start-up and after a panic.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN,
    VARY,
};

use crate::api::problem::Problem;
use crate::http::Options;

const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// The headers that a page may send: those of the API, and those that tracing libraries use to link client and server
/// spans.
const ALLOWED_HEADERS: &str = "authorization, baggage, content-type, idempotency-key, if-match, if-none-match, \
                               sentry-trace, traceparent, tracestate, x-request-id";

/// The response headers that a page may read in addition to the CORS-safelisted ones.
const EXPOSED_HEADERS: &str =
    "etag, idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// Seconds for which a browser may cache a preflight response. Browsers cap this value.
const MAX_AGE: &str = "86400";

/// The request headers on which responses depend if origins are configured.
const VARY_BY_ORIGIN: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The page that sent a request.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Its origin, if the page may call the API.
    allowed: Option<HeaderValue>,
}

impl Page {
    /// The page that sent a request; `None` if no origin is configured, because CORS is disabled then.
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

    /// The response to a preflight without the headers that [`Page::grant`] adds; `None` if the request is not a
    /// preflight.
    ///
    /// # Errors
    /// Returns 400 and withdraws the permission if the origin, the method or a header is not allowed.
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
            Some((ORIGIN, "is not an allowed origin"))
        } else if !lists(ALLOWED_METHODS, method) {
            Some((ACCESS_CONTROL_REQUEST_METHOD, "is not a method of the API"))
        } else if !names.all(|names| lists(ALLOWED_HEADERS, names)) {
            Some((ACCESS_CONTROL_REQUEST_HEADERS, "contains a header that pages may not send"))
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

    /// Adds `Vary`, and for an allowed page the headers with which the browser lets it read the response.
    pub(super) fn grant(self, headers: &mut HeaderMap) {
        // Extend the existing `Vary` line, because some caches and clients read only one line.
        let before = headers.get(VARY).and_then(|value| value.to_str().ok());
        let vary = before.map(|before| format!("{before}, {VARY_BY_ORIGIN}"));
        let vary = vary.and_then(|vary| HeaderValue::try_from(vary).ok());
        headers.insert(VARY, vary.unwrap_or(HeaderValue::from_static(VARY_BY_ORIGIN)));
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            // Allows the session cookie. Browsers send it only if the page and the server belong to the same site.
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers
                .insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        }
    }
}

/// Whether `allowed` contains all of `names`. Empty elements are ignored (RFC 9110, section 5.6.1).
fn lists(allowed: &str, names: &HeaderValue) -> bool {
    let Ok(names) = names.to_str() else { return false };
    let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.all(|name| allowed.split(", ").any(|allowed| allowed.eq_ignore_ascii_case(name)))
}
