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

/// Everything that handlers can use. Each worker thread has a copy, because all threads would write the reference count
/// of a shared one.
#[derive(Clone)]
pub struct Api {
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub catalogues: Arc<Catalogues>,
    pub operators: Arc<Operators>,
    pub rankings: Arc<Rankings>,
    pub health: Arc<Health>,
    /// `None` if no Redis is configured.
    pub redis: Option<Redis>,
    pub limits: Arc<Limits>,
    pub shedding: Arc<Shedding>,
    pub metrics: Metrics,
    pub options: Arc<Options>,
    pub rankings_pages: Arc<RankingsPages>,
}

/// The configuration of the API.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Without a token the admin routes answer 404.
    pub admin_token: Option<Secret>,
    /// Origins of pages that may call the API.
    pub cors_allowed_origins: Origins,
    /// The number of proxies in front whose information about the client's address is trusted.
    pub trusted_proxy_hops: usize,
}
