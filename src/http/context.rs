//! The shared services of handlers and middleware.

use std::sync::Arc;

use crate::accounts::Accounts;
use crate::catalogue::Catalogues;
use crate::config::{Origins, Secret};
use crate::game::Game;
use crate::health::Health;
use crate::http::limit_headers::Limits;
use crate::http::pages::rankings::RankingsPages;
use crate::http::shedding::Shedding;
use crate::live::Live;
use crate::notifications::Notifications;
use crate::operators::Operators;
use crate::rankings::Rankings;
use crate::redis_client::Redis;
use crate::streams::Streams;
use crate::telemetry::metrics::Metrics;

/// The services that handlers use. Each worker thread has its own copy, because cloning a shared `Arc` would make all
/// threads write to one reference count.
#[derive(Clone)]
pub struct Api {
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub catalogues: Arc<Catalogues>,
    pub operators: Arc<Operators>,
    pub rankings: Arc<Rankings>,
    pub streams: Arc<Streams>,
    pub notifications: Arc<Notifications>,
    pub live: Arc<Live>,
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
    /// The operator token. If it is `None`, the admin routes return 404.
    pub admin_token: Option<Secret>,
    /// The origins whose pages may call the API.
    pub cors_allowed_origins: Origins,
    /// The number of trusted proxies in front of the server, which report the client's address.
    pub trusted_proxy_hops: usize,
}
