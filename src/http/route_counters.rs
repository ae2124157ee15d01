//! Request counters by route template, separate for each worker thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use foldhash::fast::RandomState;

use crate::telemetry::metrics::{Metrics, RouteMetrics};

/// The metrics of the routes that one worker thread serves, by path, so that most requests need no second route match.
#[derive(Debug, Default)]
pub struct RouteCounters(RefCell<HashMap<Box<str>, RouteMetrics, RandomState>>);

impl RouteCounters {
    /// Counts a completed request.
    pub fn count(
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
        // Store only paths without variables, so that there are at most as many entries as routes.
        if request.match_pattern().as_deref() == Some(request.path()) {
            known.insert(request.path().into(), counters);
        }
    }
}

/// The label of the route that a request matched.
pub fn route(request: &HttpRequest) -> String {
    template(request.match_pattern())
}

/// The label of a matched template; `unknown` if no route matched.
pub fn template(matched: Option<String>) -> String {
    matched.unwrap_or_else(|| "unknown".to_owned())
}

/// The counters of the route that a request matched.
pub fn route_metrics(request: &HttpRequest, metrics: &Metrics) -> RouteMetrics {
    metrics.route(route(request))
}
