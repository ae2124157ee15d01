//! The configuration: environment variables, each with a default, checked whole at start. This is the only place that
//! reads the environment.

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
    /// How long production goes on without the player, before upgrades.
    pub offline_cap: Duration,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers requests and works on jobs.
    All,
    /// It answers requests.
    Api,
    /// It works on jobs; its port answers probes alone.
    Worker,
}

impl Role {
    /// Whether it answers requests.
    pub fn answers(self) -> bool {
        self != Self::Worker
    }

    /// Whether it works on jobs.
    pub fn works(self) -> bool {
        self != Self::Api
    }
}

/// How jobs are worked on.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How long a job stays with a worker that is not heard of.
    pub lease: Duration,
    /// Jobs worked on at the same time.
    pub concurrency: usize,
}

/// Where and how requests are taken.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub host: IpAddr,
    /// 0 takes a free port.
    pub port: u16,
    pub metrics_host: IpAddr,
    pub metrics_port: u16,
    /// Whether the metrics' port was asked for; one that was not may be given up when it is taken.
    pub metrics_port_is_set: bool,
    /// Threads that answer requests.
    pub workers: usize,
    /// How long a connection stays open on which nobody asks.
    pub keep_alive: Duration,
    /// Origins that pages may call from.
    pub cors_allowed_origins: Origins,
    /// Bearer token of operators; without one there are no admin routes.
    pub admin_token: Option<Secret>,
    /// Proxies in front of the server, whose word for the client's address is taken.
    pub trusted_proxy_hops: usize,
    /// How long requests are still taken after a SIGTERM.
    pub drain_delay: Duration,
}

/// Where the truth is kept.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// A given Postgres; without one the server starts its own.
    pub url: Option<DatabaseUrl>,
    /// The authorities that vouch for its certificate, in PEM form; the public ones where absent.
    pub authorities: Option<Vec<u8>>,
    /// Whether a pooler in transaction mode stands before it: nothing outlives a transaction then.
    pub pooled: bool,
    pub data_dir: PathBuf,
    /// The folder of the Postgres programs, where it is not to be searched for.
    pub bin_dir: Option<PathBuf>,
    /// The `PATH`, where they are searched for.
    pub search_path: Option<OsString>,
    pub pool_size: usize,
}

/// What instances share beside the truth.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://` or `rediss://` with user, password and database; several, separated by commas, are the first nodes of
    /// a cluster. One node is enough: a cluster is told by what it says of itself.
    pub url: Secret,
    /// What every key and channel begins with.
    pub key_prefix: String,
    /// A certificate authority in PEM form that is trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Tokens and passwords.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Absent only with a database of our own, which keeps one beside its data.
    pub jwt_secret: Option<Secret>,
    /// Still accepted, for a change of the secret without signing anybody out.
    pub jwt_secret_previous: Option<Secret>,
    pub access_token_ttl: Duration,
    pub session_ttl: Duration,
    /// Passwords hashed at the same time.
    pub hash_concurrency: usize,
}

/// How much may be asked. A rate of 0 is no limit.
#[derive(Clone, Debug)]
pub struct LimitConfig {
    /// Calls a second, of a player and of an address without a token.
    pub per_second: u32,
    /// Calls that may come at once.
    pub burst: u32,
    /// Calls to sign in, register and become a guest, a minute and address.
    pub auth_per_minute: u32,
    /// Calls to sign in as one username, a minute.
    pub login_per_username_per_minute: u32,
    /// Whether instances take tokens from Redis in lots.
    pub leases: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// What is sent elsewhere.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// Where spans go.
    pub collector: Option<CollectorConfig>,
    /// Where errors are reported.
    pub sentry_dsn: Option<Secret>,
}

/// An OpenTelemetry collector that is spoken to by OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// Such as `http://collector:4318`.
    pub endpoint: String,
    /// The share of requests whose spans are sent, from 0 to 1, where the caller has not decided.
    pub sample_ratio: f64,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
