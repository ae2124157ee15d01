//! Reading and validating the variables. All errors are reported together.

mod auth;
mod database;
mod limits;
mod redis;
mod server;
mod telemetry;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use super::source::Source;
use super::variables::VARIABLES;
use super::{Config, JobsConfig, Secret};

/// A variable with an invalid value.
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

pub(super) fn fault(variable: &str, message: impl fmt::Display) -> Fault {
    Fault { variable: variable.to_owned(), message: message.to_string() }
}

impl Config {
    /// Reads and validates every variable.
    ///
    /// # Errors
    /// Returns all errors.
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
            live: read.live(),
            offline_cap: read.seconds("OFFLINE_CAP_SECONDS", 60, 366 * 86_400),
        };
        if read.given("DATABASE_URL").is_some() && config.auth.jwt_secret.is_none() {
            read.fault(
                "JWT_SECRET",
                "must be set together with DATABASE_URL, because all instances must use the same secret",
            );
        }
        if read.faults.is_empty() { Ok(config) } else { Err(read.faults) }
    }
}

/// Collects the errors of the variables.
struct Read<'a> {
    source: &'a Source,
    faults: Vec<Fault>,
}

impl Read<'_> {
    fn fault(&mut self, variable: &str, message: impl fmt::Display) {
        self.faults.push(fault(variable, message));
    }

    /// The value of a variable; an empty one counts as absent.
    fn given(&self, name: &str) -> Option<&str> {
        self.source.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> String {
        let default = VARIABLES.iter().find(|it| it.name == name).map_or("", |it| it.default);
        self.given(name).unwrap_or(default).to_owned()
    }

    fn is_on(&mut self, name: &str) -> bool {
        match self.text(name).as_str() {
            "on" => true,
            "off" => false,
            other => {
                self.fault(name, format!("must be on or off, but is `{other}`"));
                true
            }
        }
    }

    fn parsed<T: FromStr>(&mut self, name: &str, expected: &str, fallback: T) -> T {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| {
            self.fault(name, format!("must be {expected}, but is `{text}`"));
            fallback
        })
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        let expected = format!("a whole number from {least} to {most}");
        let number = self.parsed(name, &expected, least);
        if (least..=most).contains(&number) {
            return number;
        }
        self.fault(name, format!("must be {expected}, but is `{number}`"));
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
            self.fault(name, format!("must have {least} bytes or more, but has {}", secret.len()));
        }
        Some(Secret::new(secret))
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod testing {
    use super::{Config, Fault};

    pub(super) fn load(variables: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Config::load(&variables.iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::load;
    use super::*;

    #[test]
    fn the_defaults_are_a_valid_configuration() {
        let config = load(&[]).expect("valid defaults");
        assert_eq!((config.http.port, config.http.metrics_port), (8080, 9090));
        assert_eq!(config.offline_cap, Duration::from_hours(8));
        assert!(config.database.url.is_none() && config.http.admin_token.is_none());
    }

    #[test]
    fn all_faults_are_reported_together() {
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
        .expect_err("invalid values and a missing secret");
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
    fn an_external_database_requires_a_secret() {
        let url = ("DATABASE_URL", "postgres://me:hidden@localhost/game");
        let faults = load(&[url]).expect_err("no secret");
        assert_eq!(faults[0].variable, "JWT_SECRET");
        let config = load(&[url, ("JWT_SECRET", &"s".repeat(32))]).expect("complete");
        assert!(!format!("{config:?}").contains("hidden"));
        assert!(!format!("{config:?}").contains("ssss"));
    }

    #[test]
    fn the_example_file_names_every_variable() {
        let example = include_str!("../../../.env.example");
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
