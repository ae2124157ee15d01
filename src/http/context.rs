//! What handlers and middleware have access to.

use std::sync::Arc;

use crate::accounts::Accounts;
use crate::catalogue::Catalogues;
use crate::config::{Origins, Secret};
use crate::game::Game;
use crate::health::Health;
use crate::http::limit_headers::Limits;
use crate::http::pages::rankings::RankingsPages;
use crate::http::shedding::Shedding;
use crate::operators::Operators;
use crate::rankings::Rankings;
use crate::redis_client::Redis;
use crate::telemetry::metrics::Metrics;

/// All that handlers may reach. Each worker thread has a copy, as counting who uses a shared one would be shared too.
#[derive(Clone)]
pub struct Api {
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub catalogues: Arc<Catalogues>,
    pub operators: Arc<Operators>,
    pub rankings: Arc<Rankings>,
    pub health: Arc<Health>,
    /// None where the configuration names none.
    pub redis: Option<Redis>,
    pub limits: Arc<Limits>,
    pub shedding: Arc<Shedding>,
    pub metrics: Metrics,
    pub options: Arc<Options>,
    pub rankings_pages: Arc<RankingsPages>,
}

/// What the configuration says about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Without one the admin routes are 404.
    pub admin_token: Option<Secret>,
    /// Origins of pages that may call.
    pub cors_allowed_origins: Origins,
    /// Proxies whose word for the client's address is taken.
    pub trusted_proxy_hops: usize,
}
