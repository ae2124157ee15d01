//! What every request passes: its id, its count, its log line, and the form of its problems.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, ResponseError, web};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::Api;
use super::problem::Problem;
use crate::telemetry::metrics::{Metrics, RouteMetrics};
use crate::telemetry::spans;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// Wraps the whole of the routes.
pub async fn edge(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let Some(api) = request.app_data::<web::Data<Api>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let id = request_id(&request, &api);
    let in_flight = InFlight::begin(&api.metrics);
    let preflight = request.method() == Method::OPTIONS;
    let early = !api.health.has_started() && request.path().starts_with("/api/");
    let span = span(&request, &id);
    let response = if early && !preflight {
        request.error_response(Problem::unavailable("The server is starting.", "starting"))
    } else {
        next.call(request).instrument(span.clone()).await?.map_into_boxed_body()
    };
    let response = finish(response, &id, api.health.is_draining());
    drop(in_flight);
    let duration = started.elapsed();
    let request = response.request();
    let (method, status) = (method_label(request.method()), response.status());
    match request.app_data::<RouteCounters>() {
        Some(counters) => counters.count(request, &api.metrics, method, status, duration),
        None => route_metrics(request, &api.metrics).count(method, status.as_u16(), duration),
    }
    if !span.is_disabled() {
        span.record("http.response.status_code", status.as_u16());
    }
    tracing::debug!(
        request.id = id.to_str().unwrap_or_default(),
        http.method = method,
        http.route = route(request),
        http.status = status.as_u16(),
        duration_ms = duration.as_secs_f64() * 1e3,
        "request"
    );
    Ok(response)
}

/// The request as a collector is told of it: neither its path nor anything of its headers.
fn span(request: &ServiceRequest, id: &HeaderValue) -> Span {
    let span = tracing::trace_span!(
        target: "idlewatt::spans",
        "request",
        otel.kind = "server",
        otel.name = format!("{} {}", method_label(request.method()), template(request.match_pattern())),
        request.id = id.to_str().unwrap_or_default(),
        http.request.method = method_label(request.method()),
        http.route = template(request.match_pattern()),
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        let caller = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        spans::continue_from(&span, caller.unwrap_or_default());
    }
    span
}

/// The counters of the routes that one worker serves, found by the path without asking the router for its template.
#[derive(Debug, Default)]
pub struct RouteCounters(RefCell<HashMap<Box<str>, RouteMetrics>>);

impl RouteCounters {
    fn count(
        &self,
        request: &HttpRequest,
        metrics: &Metrics,
        method: &'static str,
        status: StatusCode,
        duration: Duration,
    ) {
        let mut known = self.0.borrow_mut();
        if let Some(counters) = known.get_mut(request.path()) {
            return counters.count(method, status.as_u16(), duration);
        }
        let mut counters = route_metrics(request, metrics);
        counters.count(method, status.as_u16(), duration);
        // Only a path that is its own template is kept: of those there are as many as routes.
        if request.match_pattern().as_deref() == Some(request.path()) {
            known.insert(request.path().into(), counters);
        }
    }
}

/// The template of the route; one for all that is none.
fn route(request: &HttpRequest) -> String {
    template(request.match_pattern())
}

fn template(matched: Option<String>) -> String {
    matched.unwrap_or_else(|| "unknown".to_owned())
}

fn route_metrics(request: &HttpRequest, metrics: &Metrics) -> RouteMetrics {
    metrics.route(route(request))
}

/// Counts a request as being answered until it is dropped, be it because the client hung up.
struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// The caller's own id, where it sent a sane one.
fn request_id(request: &ServiceRequest, api: &Api) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let sane = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_LENGTH).contains(&value.len()) && value.as_bytes().iter().all(plain)
    };
    let given = request.headers().get(&REQUEST_ID).filter(sane).cloned();
    given.unwrap_or_else(|| {
        let mut text = uuid::Uuid::encode_buffer();
        let text = api.accounts.new_id().as_hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| unreachable!("an id is plain text"))
    })
}

/// Methods that are not ours share a label, so that nobody can make labels at will.
fn method_label(method: &actix_web::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Writes the problem's body and the headers that every response carries.
fn finish(response: ServiceResponse, id: &HeaderValue, draining: bool) -> ServiceResponse {
    let body = response.response().error().map(|error| {
        let id = id.to_str().unwrap_or_default();
        if let Some(problem) = error.as_error::<Problem>() {
            log(problem, id);
            return problem.body(id);
        }
        // An error of the framework's own; its text is its own too, and is not passed on.
        tracing::debug!(request.id = id, %error, "refused by the framework");
        let problem = if error.as_response_error().status_code().is_server_error() {
            Problem::internal(error)
        } else {
            Problem::malformed("request", "cannot be read")
        };
        problem.body(id)
    });
    let mut response = match body {
        Some(body) => {
            let mut response = response.map_body(|_, _| BoxBody::new(body));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        None => response,
    };
    response.headers_mut().insert(REQUEST_ID, id.clone());
    if draining {
        // Balancers and clients then open their next connection elsewhere.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

fn log(problem: &Problem, id: &str) {
    let Some(cause) = problem.cause() else { return };
    if problem.status_code().as_u16() == 503 {
        tracing::warn!(request.id = id, cause, "a request was turned away");
    } else {
        tracing::error!(request.id = id, cause, "a request failed");
    }
}
