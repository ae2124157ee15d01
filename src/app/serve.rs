//! Running a server from start to end.

use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::server::bind;
use super::{Database, Error, Server, Settings};
use crate::clock::DatabaseClock;
use crate::config::{Config, HttpConfig, Role};

/// How the process was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// SIGTERM, by an orchestrator whose load balancer takes a moment to notice.
    Gently,
    /// SIGINT, by a person at a terminal.
    Now,
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long requests in flight may take during a shutdown.
const IN_FLIGHT_LIMIT: Duration = Duration::from_secs(4);
const IN_FLIGHT_POLL: Duration = Duration::from_millis(10);
/// How long closing may take after a fault.
const FAULT_LIMIT: Duration = Duration::from_secs(4);

/// The signals that ask the process to end.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Other(format!("signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Gently,
            _ = self.interrupt.recv() => Stop::Now,
        }
    }
}

/// Runs the server until it is asked to end. It listens before its database is ready, so it answers probes and obeys
/// signals while an embedded database starts or recovers.
///
/// # Errors
/// Returns why it cannot run.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut stops = Stops::listen()?;
    let listener = bind(config.http.host, config.http.port)?;
    let address = listener.local_addr().map_err(|error| Error::Other(error.to_string()))?;
    let metrics_listener = bind_metrics(&config.http)?;
    let mut database = Database::launch(&config.database)?;
    let secret = match &config.auth.jwt_secret {
        Some(secret) => Some(secret.clone()),
        None => database.secret()?,
    };
    let settings = Settings {
        endpoint: database.endpoint().clone(),
        secret: secret.ok_or_else(|| Error::Other("JWT_SECRET is needed".into()))?,
        clock: Arc::new(DatabaseClock::new()),
        config: config.clone(),
        alone: config.database.url.is_none(),
    };
    let server = Arc::new(Server::build(settings)?);
    let http = server.listen(listener)?;
    let handle = http.handle();
    let mut http = tokio::spawn(http);
    let metrics_server =
        metrics_listener.map(|listener| server.listen_for_operators(listener)).transpose()?;
    let _operator_port = metrics_server
        .map(|operator_port| server.supervisor.spawn("the operator port", operator_port.map(drop)));
    tracing::info!(%address, "listening");
    // Everything continues until the last request is answered, including the poller, without which mutations are
    // refused.
    let outcome = tokio::select! {
        () = drain(&server, &handle, &mut stops, config.http.drain_delay) => Ok(()),
        fault = work(&server, &mut database, address) => Err(fault),
        fault = server.supervisor.fault() => Err(fault.into()),
        ended = &mut http => Err(Error::Other(format!("the HTTP server ended: {ended:?}"))),
    };
    let close = close(&server, &handle, &mut database, &mut stops);
    match &outcome {
        Ok(()) => close.await,
        // The remaining parts may wait for the one that has ended.
        Err(_) => {
            if timeout(FAULT_LIMIT, close).await.is_err() {
                database.close_now().await;
            }
        }
    }
    outcome
}

/// Stops the parts in order, the database last. After another signal it shuts the database down immediately and
/// returns.
async fn close(server: &Server, http: &ServerHandle, database: &mut Database, stops: &mut Stops) {
    let in_order = async {
        http.stop(true).await;
        server.game.drain().await;
        server.close().await;
        database.close().await;
    };
    tokio::select! {
        () = in_order => tracing::info!("stopped"),
        _ = stops.next() => {
            tracing::warn!("second signal: stopping immediately");
            database.close_now().await;
        }
    }
}

/// Binds the operator port. If the default port is in use, as by a second server on the machine, there is no operator
/// port.
fn bind_metrics(config: &HttpConfig) -> Result<Option<std::net::TcpListener>, Error> {
    match bind(config.metrics_host, config.metrics_port) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.metrics_port_is_set => Err(error),
        Err(error) => {
            tracing::warn!(%error, "metrics are not served; set METRICS_PORT");
            Ok(None)
        }
    }
}

/// Makes the server ready and keeps it running. Returns only if it cannot become ready.
async fn work(server: &Arc<Server>, database: &mut Database, address: SocketAddr) -> Error {
    if let Err(error) = prepare(server, database).await {
        return error;
    }
    if server.role.works() {
        server.jobs.start(&server.supervisor);
    }
    announce(address, server.role);
    let _upkeep = server.start_loops();
    pending().await
}

/// Waits for the database for as long as it takes.
async fn prepare(server: &Server, database: &mut Database) -> Result<(), Error> {
    database.started().await?;
    let mut pause = FIRST_RETRY;
    loop {
        let prepared = async {
            database.ensure().await?;
            server.prepare().await
        };
        match prepared.await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "waiting for the database");
            }
            Err(error) => return Err(error.into()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

/// Prints one line on standard output, for people and scripts.
fn announce(address: SocketAddr, role: Role) {
    let line = if role.answers() {
        format!("Idlewatt listens on http://{address}, try it at http://{address}/docs")
    } else {
        format!("Idlewatt works on jobs, and answers probes on http://{address}")
    };
    tracing::info!(%address, "ready");
    let mut out = std::io::stdout().lock();
    // Standard output may be closed. The server runs in any case.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("standard output is closed");
    }
}

/// Waits until the process is asked to end, tells load balancers to use other instances, gives them time to do so, and
/// lets requests and jobs in flight finish. After a second signal it no longer waits for load balancers. A server that
/// was never ready does not wait for them, because it receives no requests.
async fn drain(server: &Server, http: &ServerHandle, stops: &mut Stops, delay: Duration) {
    let stop = stops.next().await;
    server.health.drain();
    tracing::info!(?stop, "stopping");
    let requests = async {
        if stop == Stop::Gently && server.health.has_started() {
            tokio::select! {
                () = sleep(delay) => {}
                _ = stops.next() => {}
            }
        }
        http.pause().await;
        let finished = async {
            while server.metrics.in_flight.get() > 0 {
                sleep(IN_FLIGHT_POLL).await;
            }
        };
        if timeout(IN_FLIGHT_LIMIT, finished).await.is_err() {
            tracing::warn!(
                requests = server.metrics.in_flight.get(),
                "requests in flight are aborted"
            );
        }
    };
    tokio::join!(requests, server.jobs.drain());
}
