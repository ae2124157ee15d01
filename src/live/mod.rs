//! Sockets: connections on which the server pushes events and states, and answers calls.
//!
//! `http` upgrades a connection, and then hands over its socket. Each worker thread serves its connections alone
//! (`worker`). A connection has a task that reads frames (`socket`), an outbox that is bounded in bytes (`outbox`), and
//! subscriptions (`follow`). Streams are read by the same functions as for polls, and calls are answered by the same code
//! as over HTTP ([`Calls`]).
//!
//! Nothing is stored about connections. A client that is disconnected continues from its positions at any instance.

mod calls;
mod closing;
mod connection;
mod follow;
mod mailbox;
mod message;
mod outbox;
mod protocol;
mod registry;
mod socket;
mod topics;
mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use calls::{Answer, Calls};
pub use closing::Closing;
pub use connection::Client;
pub use protocol::{Call, Codec, DOCUMENT};
pub use registry::{Full, Place};
pub use socket::serve;
pub use worker::Worker;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::accounts::Accounts;
use crate::game::Game;
use crate::limit::Limiter;
use crate::notifications::Notifications;
use crate::streams::Streams;
use crate::telemetry::live::LiveMetrics;
use registry::Registry;

/// The unit of all times of connections.
const TICK: Duration = Duration::from_secs(1);
/// How often it is checked whether all connections have ended.
const DRAINED_POLL: Duration = Duration::from_millis(20);
/// How long clients have to answer the close frame after the window of a drain.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// What connections use.
pub struct Services {
    pub accounts: Arc<Accounts>,
    pub game: Arc<Game>,
    pub streams: Arc<Streams>,
    pub notifications: Arc<Notifications>,
    pub limiter: Arc<Limiter>,
    pub metrics: LiveMetrics,
}

/// Settings of connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether connections are accepted.
    pub enabled: bool,
    /// The largest number of connections.
    pub max_connections: usize,
    /// The largest number of connections from one address.
    pub max_of_address: usize,
    /// Bytes that may wait to be sent, on all connections together.
    pub buffer_bytes: usize,
    /// The time over which connections are closed when the server stops.
    pub drain_window: Duration,
}

/// The connections of this instance.
pub struct Live {
    services: Services,
    options: Options,
    registry: Arc<Registry>,
    /// Seconds for which the server has run. All times of connections are counted in them.
    ticks: watch::Sender<u32>,
    /// The window of the drain, once it has begun.
    draining: watch::Sender<Option<Duration>>,
}

impl Live {
    pub fn new(services: Services, options: Options) -> Self {
        for label in Closing::LABELS {
            services.metrics.declare(label);
        }
        Self {
            services,
            options,
            registry: Arc::default(),
            ticks: watch::Sender::new(0),
            draining: watch::Sender::new(None),
        }
    }

    /// Calls [`Live::tick`] once a second. Never returns.
    pub async fn run_clock(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick();
        }
    }

    /// Notes that a second has passed: pings clients, and closes the connections of those that are silent or slow.
    pub fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    /// Whether connections are accepted at all.
    pub fn is_enabled(&self) -> bool {
        self.options.enabled
    }

    /// Takes a place for a connection from this address.
    ///
    /// # Errors
    /// Returns what is full.
    pub fn admit(&self, address: IpAddr) -> Result<Place, Full> {
        let Options { max_connections, max_of_address, .. } = self.options;
        self.registry.admit(address, max_connections, max_of_address)
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.registry.open()
    }

    /// The bytes that wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.registry.waiting()
    }

    /// Tells all clients that the server stops, closes their connections spread over the configured time, and returns
    /// when all have ended, or shortly after that time.
    pub async fn drain(&self) {
        if self.open() == 0 {
            return;
        }
        let window = self.options.drain_window;
        self.draining.send_replace(Some(window));
        let ended = async {
            while self.open() > 0 {
                sleep(DRAINED_POLL).await;
            }
        };
        if timeout(window + CLOSE_LIMIT, ended).await.is_err() {
            tracing::debug!(connections = self.open(), "connections did not end in time");
        }
    }
}
