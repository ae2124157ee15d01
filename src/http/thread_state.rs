//! What each worker thread has to itself: threads that write to the same memory, be it a count, wait for each other.

use std::cell::Cell;

use actix_web::HttpRequest;

use crate::accounts;
use crate::api::problem::Problem;
use crate::domain::Timestamp;
use crate::http::Api;
use crate::http::pages::catalogue::CatalogPage;
use crate::http::route_counters::RouteCounters;
use crate::http::token_cache::{Caller, Visitors};

/// A worker thread's own.
#[derive(Debug, Default)]
pub struct Worker {
    pub(super) routes: RouteCounters,
    pub(super) catalog_page: CatalogPage,
    visitors: Visitors,
    /// When the last request came in.
    time: Cell<Option<Timestamp>>,
}

impl Worker {
    /// A request comes in at `now`.
    pub(super) fn begin(&self, now: Timestamp) {
        self.time.set(Some(now));
    }

    /// Who shows `token`. The time is that at which the last request came in: that of this one, or later.
    ///
    /// # Errors
    /// As [`Accounts::authenticate`](crate::accounts::Accounts::authenticate).
    pub(super) fn visit(&self, token: &str, api: &Api) -> Result<Caller, accounts::Error> {
        let now = self.time.get().unwrap_or_else(|| api.game.now());
        self.visitors.visit(token, now, &api.accounts, &api.game)
    }
}

/// That of the thread which answers the request.
pub fn worker(request: &HttpRequest) -> Result<&Worker, Problem> {
    request.app_data().ok_or_else(|| Problem::internal("the worker has nothing of its own"))
}
