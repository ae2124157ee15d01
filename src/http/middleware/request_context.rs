//! The outermost middleware: request ids, metrics, the log line, and the bodies of problems.

use std::future::{Ready, ready};
use std::mem;
use std::pin::Pin;
use std::task::{self, Context, Poll};
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{Error, ResponseError, web};
use pin_project_lite::pin_project;
use tracing::Span;
use tracing::field::Empty;

use crate::api::problem::Problem;
use crate::domain::Timestamp;
use crate::http::Api;
use crate::http::middleware::cors::Page;
use crate::http::middleware::panics;
use crate::http::route_counters::{route, route_metrics, template};
use crate::http::thread_state::ThreadState;
use crate::id::new_id;
use crate::telemetry::metrics::{Level, Metrics};
use crate::telemetry::spans;

/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// The middleware factory. It wraps all routes.
pub struct RequestContext;

impl<S> Transform<S, ServiceRequest> for RequestContext
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = RequestContextService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, routes: S) -> Self::Future {
        ready(Ok(RequestContextService { routes }))
    }
}

/// Routes behind the middleware.
pub struct RequestContextService<S> {
    routes: S,
}

impl<S> Service<ServiceRequest> for RequestContextService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = RequestContextCall<S::Future>;

    forward_ready!(routes);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let started = Instant::now();
        let Some(api) = request.app_data::<web::Data<Api>>().cloned() else {
            let call = Some(self.routes.call(request));
            return RequestContextCall { call, early: None, has_unread_body: false, active: None };
        };
        let now = api.game.time_at(started);
        if let Some(thread) = request.app_data::<ThreadState>() {
            thread.begin(now);
        }
        let id = request_id(&request, now);
        let in_flight = InFlight::begin(&api.metrics);
        let method = method_label(request.method());
        let mut page = Page::of(&api.options, request.headers());
        let preflight = page.as_mut().and_then(|page| page.preflight(&request));
        let has_unread_body = has_body(&request);
        let too_early = !api.health.has_started()
            && request.path().starts_with("/api/")
            && request.method() != Method::OPTIONS;
        let span = span(&request, &id);
        let (call, early) = if let Some(preflight) = preflight {
            (
                None,
                Some(match preflight {
                    Ok(response) => request.into_response(response),
                    Err(problem) => request.error_response(problem),
                }),
            )
        } else if too_early {
            let problem = Problem::unavailable("The server is starting.", "starting");
            (None, Some(request.error_response(problem)))
        } else {
            (panics::caught(|| span.in_scope(|| self.routes.call(request))), None)
        };
        let active = ActiveRequest { started, method, id, page, span, api, in_flight };
        RequestContextCall { call, early, has_unread_body, active: Some(active) }
    }
}

pin_project! {
    /// The future of a request.
    pub struct RequestContextCall<F> {
        // `None` after a panic.
        #[pin]
        call: Option<F>,
        // The response, if it was determined before it may be sent.
        early: Option<ServiceResponse>,
        // Whether the request has a body of which nothing was read yet.
        has_unread_body: bool,
        // The data of the request, until the response is complete.
        active: Option<ActiveRequest>,
    }
}

struct ActiveRequest {
    started: Instant,
    method: &'static str,
    id: HeaderValue,
    // `None` if no origin is configured.
    page: Option<Page>,
    span: Span,
    api: web::Data<Api>,
    in_flight: InFlight,
}

impl<F> Future for RequestContextCall<F>
where
    F: Future<Output = Result<ServiceResponse, Error>>,
{
    type Output = Result<ServiceResponse, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let has_unread_body = mem::take(this.has_unread_body);
        let polled = match (this.early.take(), this.call.as_mut().as_pin_mut()) {
            (Some(response), _) => Some(Poll::Ready(Ok(response))),
            (None, Some(call)) => {
                let _entered = this.active.as_ref().map(|active| active.span.enter());
                panics::caught(|| call.poll(context))
            }
            (None, None) => None,
        };
        let Some(polled) = polled else {
            // Drop the call, so that its guards release their resources before the response is sent.
            this.call.set(None);
            return Poll::Ready(Err(match this.active.take() {
                Some(active) => active.panicked(),
                None => Problem::internal("the handler panicked").into(),
            }));
        };
        let response = task::ready!(polled)?;
        if has_unread_body {
            // The request was refused immediately. If the response were sent before the body is read, actix would close
            // the connection. Returning `Pending` once lets actix read the part of the body that arrived with the head.
            *this.early = Some(response);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(match this.active.take() {
            Some(active) => active.end(response),
            None => response,
        }))
    }
}

impl ActiveRequest {
    /// Counts a request that panicked and creates its response. The matched route is no longer known.
    fn panicked(self) -> Error {
        let mut route = self.api.metrics.route(template(None));
        let status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
        route.count(self.method, status, self.started.elapsed());
        panics::response((REQUEST_ID, self.id), self.page)
    }

    /// Completes the response, counts it and logs it.
    fn end(self, response: ServiceResponse) -> ServiceResponse {
        let Self { started, method, id, page, span, api, in_flight } = self;
        let mut response = finish(response, &id, api.health.is_draining());
        if let Some(page) = page {
            page.grant(response.headers_mut());
        }
        drop(in_flight);
        let duration = started.elapsed();
        let request = response.request();
        let status = response.status();
        match request.app_data::<ThreadState>() {
            Some(thread) => thread.routes.count(request, &api.metrics, method, status, duration),
            None => {
                route_metrics(request, &api.metrics).count(method, status.as_u16(), duration);
            }
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
        response
    }
}

/// The tracing span of a request. For privacy it contains neither the path nor header values other than the request id.
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

/// Counts a request as in flight until this guard is dropped, which also happens when the client closes its connection.
struct InFlight(Level);

impl InFlight {
    fn begin(metrics: &Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn has_body(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// The client's request id if it is valid, otherwise a new one.
fn request_id(request: &ServiceRequest, now: Timestamp) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let valid = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_LENGTH).contains(&value.len()) && value.as_bytes().iter().all(plain)
    };
    let given = request.headers().get(&REQUEST_ID).filter(valid).cloned();
    given.unwrap_or_else(|| {
        let mut text = uuid::Uuid::encode_buffer();
        let text = new_id(now).as_hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| unreachable!("an id is plain text"))
    })
}

/// The label of a method. Unknown methods share one label, so that clients cannot create new labels.
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

/// Writes the body of a problem and the headers of every response.
fn finish(response: ServiceResponse, id: &HeaderValue, draining: bool) -> ServiceResponse {
    let body = response.response().error().map(|error| {
        let id = id.to_str().unwrap_or_default();
        if let Some(problem) = error.as_error::<Problem>() {
            log(problem, id);
            return problem.body(id);
        }
        // An error of the framework. Its text may contain internals and is not sent to the client.
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
    response.headers_mut().append(REQUEST_ID, id.clone());
    if draining {
        // Closing makes load balancers and clients open their next connection to another instance.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

fn log(problem: &Problem, id: &str) {
    let Some(cause) = problem.cause() else { return };
    if problem.status_code().as_u16() == 503 {
        tracing::warn!(request.id = id, cause, "a request was refused");
    } else {
        tracing::error!(request.id = id, cause, "a request failed");
    }
}
