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

/// How the process was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// SIGTERM, sent by an orchestrator: load balancers need time to stop sending requests.
    Graceful,
    /// SIGINT, sent by a person at a terminal: there is no load balancer to wait for.
    Fast,
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long requests in flight may take during a shutdown before they are aborted.
const IN_FLIGHT_LIMIT: Duration = Duration::from_secs(4);
const IN_FLIGHT_POLL: Duration = Duration::from_millis(10);
/// How long an orderly shutdown may take after a fault.
const FAULT_LIMIT: Duration = Duration::from_secs(4);

/// The signals that ask the process to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> Result<Self, Error> {
        let failed =
            |error: std::io::Error| Error::Other(format!("cannot handle signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Graceful,
            _ = self.interrupt.recv() => Stop::Fast,
        }
    }
}

/// Runs the server until the process is asked to stop. The server listens before its database is ready, so it answers
/// probes and handles signals while an embedded database starts or recovers.
///
/// # Errors
/// Returns an error if the server cannot start or must end.
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
        secret: secret.ok_or_else(|| {
            Error::Other("JWT_SECRET is required with an external database".into())
        })?,
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
    // All tasks run until the last request is answered. For example, without the poller mutations would be refused.
    let outcome = tokio::select! {
        () = drain(&server, &handle, &mut stops, config.http.drain_delay) => Ok(()),
        fault = work(&server, &mut database, address) => Err(fault),
        fault = server.supervisor.fault() => Err(fault.into()),
        ended = &mut http => Err(Error::Other(format!("the HTTP server ended: {ended:?}"))),
    };
    let close = close(&server, &handle, &mut database, &mut stops);
    match &outcome {
        Ok(()) => close.await,
        // A part that still runs may wait for ever for the part that has ended.
        Err(_) => {
            if timeout(FAULT_LIMIT, close).await.is_err() {
                database.close_now().await;
            }
        }
    }
    outcome
}

/// Stops the parts in order, the database last. If another signal arrives, shuts the database down immediately and
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

/// Binds the operator port. If only its default is in use, for example by another server on the machine, the server
/// runs without an operator port.
fn bind_metrics(config: &HttpConfig) -> Result<Option<std::net::TcpListener>, Error> {
    match bind(config.metrics_host, config.metrics_port) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.metrics_port_is_set => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the operator port is not available, so metrics are not served; set METRICS_PORT to a free port");
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
    let _tasks = server.start_loops();
    pending().await
}

/// Waits until the database is ready, without a time-out.
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
        format!("Idlewatt runs jobs, and answers probes on http://{address}")
    };
    tracing::info!(%address, "ready");
    let mut out = std::io::stdout().lock();
    // The server also runs if standard output is closed.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("standard output is closed");
    }
}

/// Waits until the process is asked to stop. Then `/readyz` tells load balancers to use other instances, requests are
/// accepted for `delay`, and requests and jobs in flight finish. A second signal ends the delay. A server that was
/// never ready does not wait for load balancers, because it receives no requests.
async fn drain(server: &Server, http: &ServerHandle, stops: &mut Stops, delay: Duration) {
    let stop = stops.next().await;
    server.health.drain();
    tracing::info!(?stop, "stopping");
    let requests = async {
        if stop == Stop::Graceful && server.health.has_started() {
            tokio::select! {
                () = sleep(delay) => {}
                _ = stops.next() => {}
            }
        }
        http.pause().await;
        // Sockets first, because calls over them are requests in flight.
        server.live.drain().await;
        let finished = async {
            while server.metrics.in_flight.get() > 0 {
                sleep(IN_FLIGHT_POLL).await;
            }
        };
        if timeout(IN_FLIGHT_LIMIT, finished).await.is_err() {
            tracing::warn!(
                requests = server.metrics.in_flight.get(),
                "requests still in flight are aborted"
            );
        }
    };
    tokio::join!(requests, server.jobs.drain());
}
