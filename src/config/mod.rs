//! The configuration: environment variables, each with a default, validated together at the start of the process. Only
//! this module reads the environment.

mod database_url;
mod dotenv;
mod origins;
mod read;
mod source;
mod url_faults;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use database_url::{DatabaseUrl, Encryption};
pub use origins::Origins;
pub use read::Fault;
pub use source::{Source, environment};
pub use variables::{VARIABLES, Variable};

/// Text that must not be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Everything that an operator can set.
#[derive(Clone, Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub redis: Option<RedisConfig>,
    /// Memory for players, in bytes.
    pub cache_bytes: u64,
    pub auth: AuthConfig,
    pub limits: LimitConfig,
    pub log: LogConfig,
    pub role: Role,
    pub jobs: JobsConfig,
    pub export: ExportConfig,
    pub live: LiveConfig,
    /// How long production continues while a player without upgrades is absent.
    pub offline_cap: Duration,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves requests and runs jobs.
    All,
    /// Serves requests.
    Api,
    /// Runs jobs. Its port serves probes only.
    Worker,
}

impl Role {
    /// Whether the process serves requests.
    pub fn answers(self) -> bool {
        self != Self::Worker
    }

    /// Whether the process runs jobs.
    pub fn works(self) -> bool {
        self != Self::Api
    }
}

/// Settings of streams and sockets.
#[derive(Clone, Copy, Debug)]
pub struct LiveConfig {
    /// Whether sockets are accepted, and instances send each other messages about new events, which the release without
    /// streams does not know.
    pub enabled: bool,
    /// The largest number of sockets.
    pub max_connections: usize,
    /// The largest number of sockets from one address.
    pub connections_per_address: usize,
    /// Bytes that may wait to be sent on all sockets together.
    pub buffer_bytes: usize,
    /// The time over which sockets are closed when the server stops.
    pub drain: Duration,
}

/// Settings of jobs.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How long a worker keeps a job without renewing its lease.
    pub lease: Duration,
    /// Jobs that run at the same time.
    pub concurrency: usize,
}

/// Settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub host: IpAddr,
    /// 0 binds a free port.
    pub port: u16,
    pub metrics_host: IpAddr,
    pub metrics_port: u16,
    /// Whether the operator port is configured. If only the default port is in use, the server runs without an operator
    /// port.
    pub metrics_port_is_set: bool,
    /// Threads that serve requests.
    pub workers: usize,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// Origins of pages that may call the API.
    pub cors_allowed_origins: Origins,
    /// The operators' bearer token; without one there are no admin routes.
    pub admin_token: Option<Secret>,
    /// The number of proxies in front of the server. Each appends the address of its client to a header.
    pub trusted_proxy_hops: usize,
    /// How long requests are still accepted after SIGTERM.
    pub drain_delay: Duration,
}

/// Settings of Postgres.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// An external Postgres; `None` starts an embedded one.
    pub url: Option<DatabaseUrl>,
    /// The certificate authorities in PEM form; `None` for the public ones.
    pub authorities: Option<Vec<u8>>,
    /// Whether connections go through a pooler in transaction mode. Then settings and prepared statements last only for
    /// one transaction.
    pub pooled: bool,
    pub data_dir: PathBuf,
    /// The folder of the Postgres programs; `None` searches for it.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`, in which the programs are searched for.
    pub search_path: Option<OsString>,
    /// The largest number of connections for requests.
    pub pool_size: usize,
}

/// Settings of Redis.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://` or `rediss://` with user, password and database. Several addresses, separated by commas, are nodes of
    /// a cluster. One node is enough, because it reports whether it belongs to a cluster.
    pub url: Secret,
    /// The prefix of every key and channel.
    pub key_prefix: String,
    /// A certificate authority in PEM form that replaces the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Settings of tokens and passwords.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `None` only with an embedded database, which stores a secret beside its data.
    pub jwt_secret: Option<Secret>,
    /// The secret before the last change. Its tokens are still accepted, so that a change signs no player out.
    pub jwt_secret_previous: Option<Secret>,
    pub access_token_ttl: Duration,
    pub session_ttl: Duration,
    /// Passwords that are hashed at the same time.
    pub hash_concurrency: usize,
}

/// Rate limits. A rate of 0 means no limit.
#[derive(Clone, Debug)]
pub struct LimitConfig {
    /// Calls per second of a player, and of an address without a token.
    pub per_second: u32,
    /// Calls that are allowed at once: the depth of the token bucket.
    pub burst: u32,
    /// Calls per minute of an address to sign in, register and create a guest.
    pub auth_per_minute: u32,
    /// Sign-ins per minute with one username.
    pub login_per_username_per_minute: u32,
    /// Sockets that an address may open per second.
    pub live_per_second: u32,
    /// Sockets that an address may open at once.
    pub live_burst: u32,
    /// Whether an instance leases several tokens from Redis at once instead of asking Redis for each call.
    pub leases: bool,
}

/// Settings of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Settings of exported telemetry.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// Where spans are sent.
    pub collector: Option<CollectorConfig>,
    /// Where errors are reported.
    pub sentry_dsn: Option<Secret>,
}

/// An OpenTelemetry collector that accepts OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// Such as `http://collector:4318`.
    pub endpoint: String,
    /// The fraction of requests whose spans are sent, from 0 to 1, if the caller's `traceparent` does not decide.
    pub sample_ratio: f64,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
