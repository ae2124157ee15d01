//! The parts of a server and their wiring.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use actix_server::Server as HttpServerFuture;
use actix_web::{App, HttpServer, web};
use tokio::time::timeout;

use super::Error;
use super::loops::NO_EPOCH;
use crate::accounts::{AccessTokens, Accounts, PasswordHasher};
use crate::cache::{self, Players};
use crate::catalogue::Catalogues;
use crate::clock::Clock;
use crate::config::{AuthConfig, Config, LimitConfig, Role, Secret};
use crate::domain::Rules;
use crate::game::Game;
use crate::health::Health;
use crate::http::{self, Api, Options, Serving};
use crate::jobs::{self, Jobs};
use crate::lanes;
use crate::limit::{Limiter, Policy, Quota, Quotas};
use crate::live::{self, Live};
use crate::notifications::Notifications;
use crate::operators::Operators;
use crate::peers::Peers;
use crate::rankings::Rankings;
use crate::redis_client::Redis;
use crate::signals::Signals;
use crate::store::{Endpoint, Store, StoreOptions};
use crate::streams::Streams;
use crate::supervisor::Supervisor;
use crate::telemetry::metrics::Metrics;

/// How long a caller waits for a free connection.
const POOL_TIMEOUT: Duration = Duration::from_secs(2);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Long, because a suspended compute at Neon needs some seconds to start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time-out for deleting this instance's note of silence during a shutdown.
const FORGET_SILENCE_LIMIT: Duration = Duration::from_millis(500);
/// Seconds to wait for open connections during a shutdown. It is short, because all requests are answered by then.
const SHUTDOWN_SECONDS: u64 = 1;

/// What a server is built from.
pub struct Settings {
    pub config: Config,
    pub endpoint: Endpoint,
    /// The secret that signs access tokens.
    pub secret: Secret,
    pub clock: Arc<dyn Clock>,
    /// Whether this process is the only one that writes the database, because the database is embedded.
    pub alone: bool,
}

/// The parts of a server. It does not listen until [`Server::listen`] is called.
pub struct Server {
    pub store: Store,
    /// `None` if no Redis is configured.
    pub redis: Option<Redis>,
    pub peers: Peers,
    pub players: Players,
    pub clock: Arc<dyn Clock>,
    pub catalogues: Arc<Catalogues>,
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub limiter: Arc<Limiter>,
    pub shedding: Arc<http::Shedding>,
    pub rankings: Arc<Rankings>,
    pub signals: Arc<Signals>,
    pub streams: Arc<Streams>,
    pub notifications: Arc<Notifications>,
    pub live: Arc<Live>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub jobs: Arc<Jobs>,
    /// Reports when a lane or another indispensable part has ended.
    pub supervisor: Supervisor,
    /// What this process does.
    pub role: Role,
    /// The database's epoch in which everything in memory was read; [`NO_EPOCH`] before the first poll.
    pub(super) known_epoch: AtomicU64,
    api: Api,
    workers: usize,
    keep_alive: Duration,
}

impl Server {
    /// Builds the parts. Must be called within a Tokio runtime, because it spawns the task that connects to Redis.
    ///
    /// # Errors
    /// Returns an error if settings contradict each other.
    #[expect(
        clippy::too_many_lines,
        reason = "a list of all parts in the order of their dependencies"
    )]
    pub fn build(settings: Settings) -> Result<Self, Error> {
        let Settings { config, endpoint, secret, clock, alone } = settings;
        let store = store(&config, endpoint)?;
        let metrics = Metrics::new().map_err(|error| Error::Other(error.to_string()))?;
        let redis = config.redis.as_ref().map(|redis| Redis::start(redis, metrics.clone()));
        let redis = redis.transpose().map_err(|error| Error::Other(error.to_string()))?;
        let rules =
            Rules { offline_cap_seconds: config.offline_cap.as_secs_f64(), ..Rules::default() };
        let catalogues = Arc::new(Catalogues::new(store.clone(), Arc::clone(&clock), rules));
        let health = Arc::new(Health::default());
        let supervisor = Supervisor::new();
        let identity = Arc::clone(store.identity());
        let peers = Peers::new(redis.clone(), Arc::clone(&clock), identity, alone);
        let signals = Arc::new(Signals::new(
            store.clone(),
            peers.clone(),
            config.live.enabled,
            metrics.streams.clone(),
        ));
        let players = Players::new(cache::Settings {
            store: store.clone(),
            redis: redis.clone(),
            peers: peers.clone(),
            clock: Arc::clone(&clock),
            health: Arc::clone(&health),
            metrics: metrics.clone(),
            capacity: config.cache_bytes,
        });
        let accounts = Arc::new(Accounts::new(
            store.clone(),
            players.clone(),
            Arc::clone(&clock),
            Arc::clone(&catalogues),
            tokens(&config.auth, secret),
            PasswordHasher::new(config.auth.hash_concurrency),
            config.auth.session_ttl,
        ));
        let rankings = Arc::new(Rankings::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&catalogues),
            redis.clone(),
            alone,
            metrics.rankings.clone(),
        ));
        let game = Game::start(
            store.clone(),
            players.clone(),
            Arc::clone(&clock),
            Arc::clone(&catalogues),
            metrics.clone(),
            rankings.seen(),
            &supervisor,
        );
        let game = Arc::new(game.map_err(|error| Error::Other(error.to_string()))?);
        let streams = Arc::new(Streams::new(
            store.clone(),
            Arc::clone(&signals),
            Arc::clone(&clock),
            metrics.streams.clone(),
        ));
        let notifications = Arc::new(Notifications::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&signals),
            metrics.streams.clone(),
        ));
        let parts = jobs::Parts {
            store: store.clone(),
            players: players.clone(),
            clock: Arc::clone(&clock),
            catalogues: Arc::clone(&catalogues),
            accounts: Arc::clone(&accounts),
            rankings: Arc::clone(&rankings),
            notifications: Arc::clone(&notifications),
        };
        let role = config.role;
        if role.works() {
            health.enable_jobs();
        }
        let jobs =
            Jobs::new(parts, jobs::kinds(), config.jobs, Arc::clone(&health), metrics.clone())?;
        let operators = Operators::new(
            store.clone(),
            players.clone(),
            Arc::clone(&clock),
            Arc::clone(&accounts),
            Arc::clone(&game),
        );
        let limiter = Arc::new(Limiter::new(
            quotas(&config.limits),
            // A process that serves no requests uses no token buckets, so it must not reserve a share of them.
            redis
                .clone()
                .filter(|_| role.answers())
                .map(|redis| (redis, Arc::clone(store.identity()))),
            config.limits.leases,
            &clock,
            &metrics,
        ));
        let shedding = Arc::new(http::Shedding::new(metrics.clone(), Instant::now()));
        let live = Arc::new(Live::new(
            live::Services {
                accounts: Arc::clone(&accounts),
                game: Arc::clone(&game),
                streams: Arc::clone(&streams),
                notifications: Arc::clone(&notifications),
                limiter: Arc::clone(&limiter),
                metrics: metrics.live.clone(),
            },
            live::Options {
                enabled: config.live.enabled,
                max_connections: config.live.max_connections,
                max_of_address: config.live.connections_per_address,
                buffer_bytes: config.live.buffer_bytes,
                drain_window: config.live.drain,
            },
        ));
        let api = Api {
            accounts: Arc::clone(&accounts),
            game: Arc::clone(&game),
            catalogues: Arc::clone(&catalogues),
            operators: Arc::new(operators),
            rankings: Arc::clone(&rankings),
            streams: Arc::clone(&streams),
            notifications: Arc::clone(&notifications),
            live: Arc::clone(&live),
            health: Arc::clone(&health),
            redis: redis.clone(),
            limits: Arc::new(http::Limits::new(Arc::clone(&limiter))),
            shedding: Arc::clone(&shedding),
            metrics: metrics.clone(),
            options: Arc::new(Options {
                admin_token: config.http.admin_token,
                cors_allowed_origins: config.http.cors_allowed_origins,
                trusted_proxy_hops: config.http.trusted_proxy_hops,
            }),
            rankings_pages: Arc::default(),
        };
        // Must come after all topics are registered.
        peers.start();
        let (workers, keep_alive) = (config.http.workers, config.http.keep_alive);
        Ok(Self {
            store,
            redis,
            peers,
            players,
            clock,
            catalogues,
            accounts,
            game,
            limiter,
            shedding,
            rankings,
            signals,
            streams,
            notifications,
            live,
            health,
            metrics,
            jobs: Arc::new(jobs),
            supervisor,
            role,
            known_epoch: AtomicU64::new(NO_EPOCH),
            api,
            workers,
            keep_alive,
        })
    }

    /// Tells the other instances that this one stops, and closes the connections to Postgres and Redis. Later calls to
    /// them fail.
    pub async fn close(&self) {
        if self.redis.is_none() {
            // Otherwise other instances would consider their cached rows stale until the note expires.
            let forgotten = self.store.forget_silence(self.peers.instance());
            drop(timeout(FORGET_SILENCE_LIMIT, forgotten).await);
        }
        self.limiter.leave().await;
        self.peers.close().await;
        self.jobs.close();
        self.store.close();
        if let Some(redis) = &self.redis {
            redis.close();
        }
    }

    /// A server for `listener`, which runs when the result is awaited or spawned. It serves the API, or only probes if
    /// the process only runs jobs.
    ///
    /// # Errors
    /// Returns an error if `listener` cannot be used.
    pub fn listen(&self, listener: TcpListener) -> Result<HttpServerFuture, Error> {
        let api = self.api.clone();
        let routes = if self.role.answers() { http::routes } else { http::probe_routes };
        let failed = |source| Error::Listen { address: "the API's port".into(), source };
        let address = listener.local_addr().map_err(failed)?;
        let keep_alive = self.keep_alive;
        let server = HttpServerFuture::build();
        let stops = server.graceful_shutdown_signal();
        let server = server
            .workers(self.workers)
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .disable_signals()
            .listen("api", listener, move || {
                // This closure runs once in each worker thread, on the thread's own runtime.
                actix_web::rt::spawn(lanes::deliver());
                let stops = stops.clone();
                let stops = move || {
                    let stops = stops.clone();
                    async move { stops.notified().await }
                };
                http::service(Serving { api: api.clone(), routes, keep_alive, address, stops })
            });
        Ok(server.map_err(failed)?.run())
    }

    /// A server for the operator port on `listener`, which runs when the result is awaited or spawned.
    ///
    /// # Errors
    /// Returns an error if `listener` cannot be used.
    pub fn listen_for_operators(&self, listener: TcpListener) -> Result<HttpServerFuture, Error> {
        let metrics = web::Data::new(self.metrics.clone());
        let server = HttpServer::new(move || {
            App::new().app_data(metrics.clone()).configure(http::operator_routes)
        });
        let server = server.workers(1).shutdown_timeout(0).disable_signals().listen(listener);
        let failed = |source| Error::Listen { address: "the operator port".into(), source };
        Ok(server.map_err(failed)?.run())
    }
}

/// A store for the database, with the configured size of its pool.
///
/// # Errors
/// As [`Store::new`].
pub(super) fn store(config: &Config, endpoint: Endpoint) -> Result<Store, Error> {
    Ok(Store::new(StoreOptions {
        endpoint,
        pool_size: config.database.pool_size,
        pool_timeout: POOL_TIMEOUT,
        connect_timeout: CONNECT_TIMEOUT,
        statement_timeout: STATEMENT_TIMEOUT,
    })?)
}

fn tokens(auth: &AuthConfig, secret: Secret) -> AccessTokens {
    AccessTokens::new(secret, auth.jwt_secret_previous.as_ref(), auth.access_token_ttl)
}

/// The configured limits.
fn quotas(config: &LimitConfig) -> Quotas {
    let calls = Quota::per_second(config.per_second, config.burst);
    Quotas::default()
        .with(Policy::Player, calls)
        .with(Policy::Address, calls)
        .with(Policy::Auth, Quota::per_minute(config.auth_per_minute))
        .with(Policy::Login, Quota::per_minute(config.login_per_username_per_minute))
        .with(Policy::Live, Quota::per_second(config.live_per_second, config.live_burst))
}

/// Binds a port.
///
/// # Errors
/// Returns an error if the port is in use, or if the address does not belong to this machine.
pub(super) fn bind(host: IpAddr, port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address)
        .map_err(|source| Error::Listen { address: address.to_string(), source })
}
