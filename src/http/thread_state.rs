//! The state of each worker thread. It is not shared, because threads that write to the same memory slow each other
//! down, even if it is only a counter.

use std::cell::Cell;

use actix_web::HttpRequest;

use crate::accounts;
use crate::api::problem::Problem;
use crate::domain::Timestamp;
use crate::http::Api;
use crate::http::pages::catalogue::CatalogPage;
use crate::http::route_counters::RouteCounters;
use crate::http::token_cache::{Caller, TokenCache};

/// The state of one worker thread.
#[derive(Debug, Default)]
pub struct ThreadState {
    pub(super) routes: RouteCounters,
    pub(super) catalog_page: CatalogPage,
    tokens: TokenCache,
    /// When this thread's latest request arrived.
    time: Cell<Option<Timestamp>>,
}

impl ThreadState {
    /// Records that a request arrived at `now`.
    pub(super) fn begin(&self, now: Timestamp) {
        self.time.set(Some(now));
    }

    /// The player of this access token. Expiry is checked at the arrival time of the thread's latest request, which is
    /// this request or a later one.
    ///
    /// # Errors
    /// Those of [`Accounts::authenticate`](crate::accounts::Accounts::authenticate).
    pub(super) fn authenticate(&self, token: &str, api: &Api) -> Result<Caller, accounts::Error> {
        let now = self.time.get().unwrap_or_else(|| api.game.now());
        self.tokens.authenticate(token, now, &api.accounts, &api.game)
    }
}

/// The state of the thread that serves `request`.
///
/// # Errors
/// Returns 500 if the application was built without a thread state.
pub fn thread_state(request: &HttpRequest) -> Result<&ThreadState, Problem> {
    request.app_data().ok_or_else(|| Problem::internal("the thread has no state"))
}
