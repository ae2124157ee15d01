//! Reading and checking the variables: all faults are told at once.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::variables::VARIABLES;
use super::{
    AuthConfig, CollectorConfig, Config, DatabaseConfig, DatabaseUrl, Encryption, ExportConfig,
    HttpConfig, JobsConfig, LimitConfig, LogConfig, LogFormat, RedisConfig, Role, Secret,
};

/// Where variables come from: the environment, or a test's map.
pub type Source = HashMap<String, String>;

/// The process' environment, and beneath it the `.env` file of the working folder, where there is one.
///
/// # Errors
/// Where that file is not in its form.
pub fn environment() -> Result<Source, Fault> {
    let mut source = Source::new();
    match dotenvy::from_path_iter(".env") {
        Ok(entries) => {
            for entry in entries {
                let (name, value) = entry.map_err(|error| fault(".env", unreadable(&error)))?;
                source.insert(name, value);
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => return Err(fault(".env", unreadable(&error))),
    }
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            source.insert(name, value);
        }
    }
    Ok(source)
}

/// What is wrong with the file, without what stands in it: that may be a secret.
fn unreadable(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(..) => {
            "a line is not NAME=value, with quotes around a value that has spaces".to_owned()
        }
        dotenvy::Error::Io(error) => error.to_string(),
        _ => "cannot be read".to_owned(),
    }
}

/// A variable that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub variable: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

fn fault(variable: &str, message: impl fmt::Display) -> Fault {
    Fault { variable: variable.to_owned(), message: message.to_string() }
}

const MIN_SECRET_BYTES: usize = 32;
const MIN_ADMIN_TOKEN_BYTES: usize = 16;

impl Config {
    /// Reads and checks every variable.
    ///
    /// # Errors
    /// All faults there are.
    pub fn load(source: &Source) -> Result<Self, Vec<Fault>> {
        let mut read = Read { source, faults: Vec::new() };
        let config = Self {
            http: read.http(),
            database: read.database(),
            redis: read.redis(),
            cache_bytes: read.number("CACHE_MEGABYTES", 1, 1 << 20) << 20,
            auth: read.auth(),
            limits: read.limits(),
            log: read.log(),
            role: read.role(),
            jobs: JobsConfig {
                lease: read.seconds("JOB_LEASE_SECONDS", 1, 25),
                concurrency: read.count("JOB_CONCURRENCY", 1, 8),
            },
            export: read.export(),
            offline_cap: read.seconds("OFFLINE_CAP_SECONDS", 60, 366 * 86_400),
        };
        if read.given("DATABASE_URL").is_some() && config.auth.jwt_secret.is_none() {
            read.fault(
                "JWT_SECRET",
                "must be set where DATABASE_URL is: every instance signs with the same one",
            );
        }
        if read.faults.is_empty() { Ok(config) } else { Err(read.faults) }
    }
}

/// The walk over the variables that collects their faults.
struct Read<'a> {
    source: &'a Source,
    faults: Vec<Fault>,
}

impl Read<'_> {
    fn fault(&mut self, variable: &str, message: impl fmt::Display) {
        self.faults.push(fault(variable, message));
    }

    /// The variable's value; one that is empty counts as absent.
    fn given(&self, name: &str) -> Option<&str> {
        self.source.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> String {
        let default = VARIABLES.iter().find(|it| it.name == name).map_or("", |it| it.default);
        self.given(name).unwrap_or(default).to_owned()
    }

    fn parsed<T: FromStr>(&mut self, name: &str, expected: &str, fallback: T) -> T {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| {
            self.fault(name, format!("must be {expected}, and is `{text}`"));
            fallback
        })
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        let expected = format!("a whole number from {least} to {most}");
        let number = self.parsed(name, &expected, least);
        if (least..=most).contains(&number) {
            return number;
        }
        self.fault(name, format!("must be {expected}, and is `{number}`"));
        least
    }

    fn count(&mut self, name: &str, least: u64, most: u64) -> usize {
        usize::try_from(self.number(name, least, most)).unwrap_or(usize::MAX)
    }

    fn seconds(&mut self, name: &str, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(name, least, most))
    }

    fn port(&mut self, name: &str) -> u16 {
        self.parsed(name, "a port from 0 to 65535", 0)
    }

    fn address(&mut self, name: &str) -> IpAddr {
        self.parsed(name, "an IP address", IpAddr::from([127, 0, 0, 1]))
    }

    fn secret(&mut self, name: &str, least: usize) -> Option<Secret> {
        let secret = self.given(name)?.to_owned();
        if secret.len() < least {
            self.fault(name, format!("must be {least} bytes or more, and is {}", secret.len()));
        }
        Some(Secret::new(secret))
    }

    fn http(&mut self) -> HttpConfig {
        HttpConfig {
            host: self.address("HOST"),
            port: self.port("PORT"),
            metrics_host: self.address("METRICS_HOST"),
            metrics_port: self.port("METRICS_PORT"),
            metrics_port_is_set: self.given("METRICS_PORT").is_some(),
            workers: match self.count("HTTP_WORKERS", 0, 1024) {
                0 => cores(),
                workers => workers,
            },
            cors_allowed_origins: self.origins("CORS_ALLOWED_ORIGINS"),
            admin_token: self.secret("ADMIN_TOKEN", MIN_ADMIN_TOKEN_BYTES),
            trusted_proxy_hops: self.count("TRUSTED_PROXY_HOPS", 0, 16),
            drain_delay: self.seconds("DRAIN_DELAY_SECONDS", 0, 600),
        }
    }

    fn origins(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let origins: Vec<_> =
            text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        for origin in &origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', ' ', '*'])) {
                self.fault(
                    name,
                    format!("`{origin}` is no origin such as https://play.example.org"),
                );
            }
        }
        origins.into_iter().map(str::to_owned).collect()
    }

    fn database(&mut self) -> DatabaseConfig {
        let url = self.database_url();
        let authorities = self.authorities("DATABASE_CA_FILE");
        if url.as_ref().is_some_and(|url| url.encryption == Encryption::Chain)
            && authorities.is_none()
        {
            self.fault(
                "DATABASE_URL",
                "sslmode=verify-ca needs DATABASE_CA_FILE: public authorities vouch for anybody's certificate",
            );
        }
        DatabaseConfig {
            pooled: self.pooled("DATABASE_POOLER", url.as_ref()),
            authorities,
            url,
            data_dir: PathBuf::from(self.text("DATA_DIR")),
            bin_dir: self.given("PG_BINDIR").map(PathBuf::from),
            search_path: self.given("PATH").map(Into::into),
            pool_size: self.count("DATABASE_POOL_SIZE", 2, 1000),
        }
    }

    fn redis(&mut self) -> Option<RedisConfig> {
        let url = self.given("REDIS_URL")?.to_owned();
        let schemes = ["redis://", "rediss://"];
        let known = |url: &str| schemes.iter().any(|scheme| url.trim().starts_with(scheme));
        if !url.split(',').all(known) {
            // The value is not repeated, as it holds a password.
            self.fault(
                "REDIS_URL",
                "must be redis://user:password@host:port/0, or rediss:// with TLS",
            );
        }
        Some(RedisConfig {
            url: Secret::new(url),
            key_prefix: self.text("REDIS_KEY_PREFIX"),
            ca_file: self.given("REDIS_CA_FILE").map(PathBuf::from),
        })
    }

    fn database_url(&mut self) -> Option<DatabaseUrl> {
        match DatabaseUrl::parse(self.given("DATABASE_URL")?) {
            Ok(url) => Some(url),
            Err(error) => {
                let form = "must be postgres://user:password@host/database";
                self.fault("DATABASE_URL", format!("{form}: {error}"));
                None
            }
        }
    }

    /// The file's contents, where it holds certificates.
    fn authorities(&mut self, name: &str) -> Option<Vec<u8>> {
        let path = PathBuf::from(self.given(name)?);
        match std::fs::read(&path) {
            Ok(pem) if CertificateDer::pem_slice_iter(&pem).next().is_some_and(|it| it.is_ok()) => {
                return Some(pem);
            }
            Ok(_) => self.fault(name, "must be a file of certificates in PEM form"),
            Err(error) => self.fault(name, error),
        }
        None
    }

    fn pooled(&mut self, name: &str, url: Option<&DatabaseUrl>) -> bool {
        match self.text(name).as_str() {
            "auto" => url.is_some_and(DatabaseUrl::names_a_pooler),
            "none" => false,
            "transaction" => true,
            other => {
                self.fault(name, format!("must be auto, none or transaction, and is `{other}`"));
                false
            }
        }
    }

    fn auth(&mut self) -> AuthConfig {
        AuthConfig {
            jwt_secret: self.secret("JWT_SECRET", MIN_SECRET_BYTES),
            jwt_secret_previous: self.secret("JWT_SECRET_PREVIOUS", MIN_SECRET_BYTES),
            access_token_ttl: self.seconds("ACCESS_TOKEN_TTL_SECONDS", 5, 86_400),
            session_ttl: Duration::from_secs(self.number("SESSION_TTL_DAYS", 1, 3650) * 86_400),
            hash_concurrency: match self.count("PASSWORD_HASH_CONCURRENCY", 0, 256) {
                0 => (cores() / 2).max(1),
                concurrency => concurrency,
            },
        }
    }

    fn limits(&mut self) -> LimitConfig {
        LimitConfig {
            per_second: self.rate("RATE_LIMIT_PER_SECOND", 0),
            burst: self.rate("RATE_LIMIT_BURST", 1),
            auth_per_minute: self.rate("RATE_LIMIT_AUTH_PER_MINUTE", 0),
            login_per_username_per_minute: self.rate("RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE", 0),
            leases: match self.text("RATE_LIMIT_LEASES").as_str() {
                "on" => true,
                "off" => false,
                other => {
                    self.fault("RATE_LIMIT_LEASES", format!("must be on or off, and is `{other}`"));
                    true
                }
            },
        }
    }

    fn rate(&mut self, name: &str, least: u64) -> u32 {
        u32::try_from(self.number(name, least, 100_000)).unwrap_or(u32::MAX)
    }

    fn role(&mut self) -> Role {
        match self.text("ROLE").as_str() {
            "all" => Role::All,
            "api" => Role::Api,
            "worker" => Role::Worker,
            other => {
                self.fault("ROLE", format!("must be all, api or worker, and is `{other}`"));
                Role::All
            }
        }
    }

    fn export(&mut self) -> ExportConfig {
        let endpoint = self.given("OTEL_EXPORTER_OTLP_ENDPOINT").map(str::to_owned);
        if let Some(endpoint) = &endpoint {
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                self.fault("OTEL_EXPORTER_OTLP_ENDPOINT", "must be such as http://collector:4318");
            }
            self.only_with("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp", cfg!(feature = "otlp"));
        }
        let sample_ratio = self.parsed("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1", 0.0);
        if !(0.0..=1.0).contains(&sample_ratio) {
            self.fault("OTEL_TRACES_SAMPLER_ARG", "must be a share from 0 to 1");
        }
        let sentry_dsn = self.given("SENTRY_DSN").map(Secret::new);
        if let Some(dsn) = &sentry_dsn {
            let has_form = dsn.reveal().starts_with("http") && dsn.reveal().contains('@');
            if !has_form {
                // The value is not repeated, as it holds a key.
                self.fault("SENTRY_DSN", "must be such as https://key@host/number");
            }
            self.only_with("SENTRY_DSN", "sentry", cfg!(feature = "sentry"));
        }
        let collector = endpoint.map(|endpoint| CollectorConfig { endpoint, sample_ratio });
        ExportConfig { collector, sentry_dsn }
    }

    /// Refuses a variable that this build can do nothing with.
    fn only_with(&mut self, name: &str, feature: &str, there: bool) {
        if !there {
            self.fault(name, format!("needs a build with --features {feature}"));
        }
    }

    fn log(&mut self) -> LogConfig {
        let format = match self.text("LOG_FORMAT").as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                self.fault("LOG_FORMAT", format!("must be text or json, and is `{other}`"));
                LogFormat::Text
            }
        };
        let filter = self.text("RUST_LOG");
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
            self.fault("RUST_LOG", error);
        }
        LogConfig { format, filter }
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Config::load(&variables.iter().map(owned).collect())
    }

    #[test]
    fn nothing_set_is_a_configuration() {
        let config = load(&[]).expect("the defaults hold");
        assert_eq!((config.http.port, config.http.metrics_port), (8080, 9090));
        assert_eq!(config.offline_cap, Duration::from_hours(8));
        assert!(config.database.url.is_none() && config.http.admin_token.is_none());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = load(&[
            ("PORT", "eighty"),
            ("HOST", "nowhere"),
            ("OFFLINE_CAP_SECONDS", "-1"),
            ("DATABASE_POOL_SIZE", "0"),
            ("DATABASE_URL", "mysql://host"),
            ("REDIS_URL", "memcached://host"),
            ("DATABASE_POOLER", "session"),
            ("DATABASE_CA_FILE", "/nowhere/ca.pem"),
            ("ADMIN_TOKEN", "short"),
            ("CORS_ALLOWED_ORIGINS", "https://a.example, *"),
            ("LOG_FORMAT", "xml"),
            ("RUST_LOG", "idlewatt=loud"),
            ("ROLE", "leader"),
            ("JOB_LEASE_SECONDS", "60"),
            ("JOB_CONCURRENCY", "0"),
        ])
        .expect_err("faults, and a missing secret");
        let mut named: Vec<_> = faults.iter().map(|fault| fault.variable.as_str()).collect();
        named.sort_unstable();
        assert_eq!(
            named,
            [
                "ADMIN_TOKEN",
                "CORS_ALLOWED_ORIGINS",
                "DATABASE_CA_FILE",
                "DATABASE_POOLER",
                "DATABASE_POOL_SIZE",
                "DATABASE_URL",
                "HOST",
                "JOB_CONCURRENCY",
                "JOB_LEASE_SECONDS",
                "JWT_SECRET",
                "LOG_FORMAT",
                "OFFLINE_CAP_SECONDS",
                "PORT",
                "REDIS_URL",
                "ROLE",
                "RUST_LOG",
            ]
        );
    }

    #[test]
    fn a_given_database_needs_a_given_secret() {
        let url = ("DATABASE_URL", "postgres://me:hidden@localhost/game");
        let faults = load(&[url]).expect_err("no secret");
        assert_eq!(faults[0].variable, "JWT_SECRET");
        let config = load(&[url, ("JWT_SECRET", &"s".repeat(32))]).expect("complete");
        assert!(!format!("{config:?}").contains("hidden"));
        assert!(!format!("{config:?}").contains("ssss"));
    }

    #[test]
    fn a_pooler_is_found_by_its_name_unless_told_otherwise() {
        let secret = "s".repeat(32);
        let pooled = |url: &str, pooler: &str| {
            let variables =
                [("DATABASE_URL", url), ("DATABASE_POOLER", pooler), ("JWT_SECRET", &*secret)];
            load(&variables).expect("complete").database.pooled
        };
        let (direct, pooler) =
            ("postgres://me@ep-a.example/d", "postgres://me@ep-a-pooler.example/d");
        assert!(!pooled(direct, "") && pooled(pooler, ""));
        assert!(pooled(direct, "transaction") && !pooled(pooler, "none"));
    }

    #[test]
    fn checking_the_chain_alone_needs_an_authority_of_ones_own() {
        let url = ("DATABASE_URL", "postgres://me@localhost/game?sslmode=verify-ca");
        let faults = load(&[url, ("JWT_SECRET", &"s".repeat(32))]).expect_err("no authority");
        assert!(faults[0].message.contains("DATABASE_CA_FILE"), "{faults:?}");
    }

    #[test]
    fn the_example_file_names_every_variable() {
        let example = include_str!("../../.env.example");
        let named: Vec<_> = example
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once('='))
            .filter(|(name, _)| name.bytes().all(|it| it.is_ascii_uppercase() || it == b'_'))
            .collect();
        let known: Vec<_> =
            VARIABLES.iter().map(|variable| (variable.name, variable.default)).collect();
        assert_eq!(named, known);
    }
}
