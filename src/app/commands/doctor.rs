//! `idlewatt doctor`: checks the configuration and every dependency, and prints what to fix.

use std::time::{Duration, Instant};

use url::Url;

use super::upgrade::check_upgrade;
use crate::app::server::bind;
use crate::app::{Database, Error};
use crate::clock::{Clock, DatabaseClock};
use crate::config::Config;
use crate::redis_client::Redis;
use crate::store::{self, Store, StoreOptions};

const TIMEOUT: Duration = Duration::from_secs(10);
/// A larger difference between this machine's clock and the database's is reported, because it makes logs of several
/// machines hard to compare.
const CLOCK_TOLERANCE_SECONDS: f64 = 2.0;

/// An instance needs at least this many connections: for its lane, for requests, and for jobs.
const FEWEST_CONNECTIONS: i32 = 3;

/// The result of a check.
struct Finding {
    part: &'static str,
    /// What was found; as an error, what is wrong and how to fix it.
    result: Result<String, String>,
}

/// Checks everything and prints the results; with `public`, the address of the running server as players see it, also
/// whether sockets reach it. Returns whether no check failed.
pub async fn diagnose(config: &Config, public: Option<&Url>) -> bool {
    let mut findings = vec![ports(config)];
    findings.extend(database(config).await);
    findings.extend(redis(config).await);
    if let Some(address) = public {
        findings.push(Finding { part: "sockets", result: check_upgrade(address).await });
    }
    let mut passed = true;
    for Finding { part, result } in findings {
        match result {
            Ok(message) => print_line(&format!("ok    {part}: {message}")),
            Err(message) => {
                passed = false;
                print_line(&format!("FAULT {part}: {message}"));
            }
        }
    }
    passed
}

#[expect(clippy::print_stdout, reason = "the findings are the output of the command")]
fn print_line(line: &str) {
    println!("{line}");
}

fn ports(config: &Config) -> Finding {
    let http = &config.http;
    let api = bind(http.host, http.port);
    let metrics = bind(http.metrics_host, http.metrics_port);
    let result = match (api, metrics) {
        (Ok(_), Ok(_)) => Ok(format!("{} and {} are free", http.port, http.metrics_port)),
        (Err(error), _) => {
            Err(format!("{error}: set PORT or HOST, or stop the program that uses the port"))
        }
        (_, Err(error)) => {
            Err(format!("{error}: set METRICS_PORT, or stop the program that uses the port"))
        }
    };
    Finding { part: "ports", result }
}

async fn database(config: &Config) -> Vec<Finding> {
    let is_external = config.database.url.is_some();
    let what = if is_external { "the external Postgres" } else { "the embedded Postgres" };
    let mut database = match Database::open(&config.database).await {
        Ok(database) => database,
        Err(error) => return vec![Finding { part: "database", result: Err(error.to_string()) }],
    };
    let findings = match connect(&database, config).await {
        Ok((store, latency)) => {
            let answered = format!("{what} answers in {:.1} ms", latency.as_secs_f64() * 1e3);
            let mut findings = vec![Finding { part: "database", result: Ok(answered) }];
            findings.push(schema(&store).await);
            findings.push(clock(&store).await);
            findings.push(writes(&store).await);
            if !database.endpoint().pooled {
                findings.push(connections(&store).await);
            }
            store.close();
            findings
        }
        Err(error) => {
            let remedy = "check DATABASE_URL, the network, and whether Postgres runs";
            vec![Finding { part: "database", result: Err(format!("{error}: {remedy}")) }]
        }
    };
    database.close().await;
    findings
}

async fn connect(database: &Database, config: &Config) -> Result<(Store, Duration), Error> {
    let store = Store::new(StoreOptions {
        endpoint: database.endpoint().clone(),
        pool_size: config.database.pool_size,
        pool_timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    })?;
    store.server_time().await?;
    let started = Instant::now();
    store.server_time().await?;
    Ok((store, started.elapsed()))
}

/// `None` if no Redis is configured.
async fn redis(config: &Config) -> Option<Finding> {
    let redis = config.redis.as_ref()?;
    let remedy = "check REDIS_URL, REDIS_CA_FILE, the network, and whether Redis accepts writes; the server also runs without it";
    let result = match Redis::check(redis).await {
        Ok(latency) => Ok(format!("answers in {:.1} ms", latency.as_secs_f64() * 1e3)),
        Err(error) => Err(format!("{error}: {remedy}")),
    };
    Some(Finding { part: "redis", result })
}

async fn schema(store: &Store) -> Finding {
    let pending = match store.check_fitness().await {
        Ok(()) => store.pending_migrations().await,
        Err(unfit @ store::Error::Unfit(_)) => {
            return Finding { part: "schema", result: Err(unfit.to_string()) };
        }
        Err(error) => Err(error),
    };
    let result = match pending {
        Ok(0) => Ok("the schema is up to date".to_owned()),
        Ok(pending) => Ok(format!("{pending} migrations will be applied at the next start")),
        Err(error) => Err(format!("{error}: the user of DATABASE_URL must own the schema")),
    };
    Finding { part: "schema", result }
}

async fn writes(store: &Store) -> Finding {
    let result = match store.is_read_only().await {
        Ok(false) => Ok("the database accepts writes".to_owned()),
        Ok(true) => Err("the database is read-only: connect to the primary, and check \
            default_transaction_read_only in the settings of the database and the role"
            .to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Finding { part: "writes", result }
}

async fn connections(store: &Store) -> Finding {
    let result = match store.connections_allowed().await {
        Ok(allowed) if allowed < FEWEST_CONNECTIONS => Err(format!(
            "Postgres allows {allowed} connections, and an instance needs {FEWEST_CONNECTIONS}: raise the limit of the \
            role or the database, or max_connections"
        )),
        Ok(allowed) => Ok(format!(
            "Postgres allows {allowed} connections for all instances together; an instance needs at least {FEWEST_CONNECTIONS}"
        )),
        Err(error) => Err(error.to_string()),
    };
    Finding { part: "connections", result }
}

async fn clock(store: &Store) -> Finding {
    let local = DatabaseClock::new();
    let result = match store.server_time().await {
        Ok(time) => {
            let ahead = time.seconds_since(local.now());
            if ahead.abs() <= CLOCK_TOLERANCE_SECONDS {
                Ok(format!("differs from the database's clock by {:.0} ms", ahead * 1e3))
            } else {
                Err(format!(
                    "differs from the database's clock by {ahead:.1} s: the game is not affected, but times in the log are \
                    wrong; correct this machine's clock"
                ))
            }
        }
        Err(error) => Err(error.to_string()),
    };
    Finding { part: "clock", result }
}
