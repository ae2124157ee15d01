//! What each worker thread has to itself: threads that write to the same memory, be it a count, wait for each other.

use actix_web::HttpRequest;

use super::catalog::CatalogPage;
use super::edge::RouteCounters;
use super::problem::Problem;
use super::visitors::Visitors;

/// A worker thread's own.
#[derive(Debug, Default)]
pub struct Worker {
    pub(super) routes: RouteCounters,
    pub(super) visitors: Visitors,
    pub(super) catalog_page: CatalogPage,
}

/// That of the thread which answers the request.
pub fn worker(request: &HttpRequest) -> Result<&Worker, Problem> {
    request.app_data().ok_or_else(|| Problem::internal("the worker has nothing of its own"))
}
