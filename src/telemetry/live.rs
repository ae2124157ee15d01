//! The metrics of sockets.

use prometheus::{Histogram, IntGauge, Opts, Registry};

use super::metrics::{DURATION_BUCKETS, histogram};
use super::striped::{Counter, CounterVec, Gauge};

/// The metrics of sockets.
#[derive(Clone, Debug)]
pub struct LiveMetrics {
    /// Open sockets.
    pub connections: Gauge,
    /// Streams that sockets follow, each counted once for each socket.
    pub subscriptions: Gauge,
    /// Frames that clients sent.
    pub frames_received: Counter,
    /// Frames for clients.
    pub frames_sent: Counter,
    /// States that were sent.
    pub states: Counter,
    /// Seconds from an event until it is written to the sockets that follow its stream.
    pub delivery_seconds: Histogram,
    /// Bytes that wait to be sent.
    pub waiting_bytes: IntGauge,
    /// Sockets that the server closed, by reason.
    closes: CounterVec,
    /// Streams that sockets began to follow, by how they began.
    subscribed: [Counter; 3],
}

/// How a socket began to follow a stream: at the head, after a position, or at the head because the position could not
/// be continued.
const BEGINNINGS: [&str; 3] = ["head", "position", "resync"];

impl LiveMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let closes = CounterVec::new(
            Opts::new("live_closes_total", "Sockets closed, by reason"),
            &["reason"],
        )?;
        let subscribed = CounterVec::new(
            Opts::new("live_subscribed_total", "Streams that sockets began to follow"),
            &["from"],
        )?;
        let metrics = Self {
            connections: Gauge::new("live_connections", "Open sockets")?,
            subscriptions: Gauge::new("live_subscriptions", "Streams that sockets follow")?,
            frames_received: Counter::new("live_frames_received_total", "Frames of clients")?,
            frames_sent: Counter::new("live_frames_sent_total", "Frames for clients")?,
            states: Counter::new("live_states_total", "States sent to clients")?,
            delivery_seconds: histogram(
                "live_delivery_seconds",
                "Time from an event until it is given to the sockets that follow its stream",
                &DURATION_BUCKETS,
            )?,
            waiting_bytes: IntGauge::new(
                "live_waiting_bytes",
                "Bytes that wait to be sent on all sockets",
            )?,
            subscribed: BEGINNINGS.map(|from| subscribed.with_label_values(&[from])),
            closes,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.subscriptions.clone()))?;
        registry.register(Box::new(metrics.frames_received.clone()))?;
        registry.register(Box::new(metrics.frames_sent.clone()))?;
        registry.register(Box::new(metrics.states.clone()))?;
        registry.register(Box::new(metrics.delivery_seconds.clone()))?;
        registry.register(Box::new(metrics.waiting_bytes.clone()))?;
        registry.register(Box::new(metrics.closes.clone()))?;
        registry.register(Box::new(subscribed))?;
        Ok(metrics)
    }

    /// Makes the count of a reason appear as 0, so that queries find it.
    pub fn declare(&self, reason: &str) {
        self.closes.with_label_values(&[reason]).inc_by(0);
    }

    /// Counts a socket that was closed.
    pub fn closed(&self, reason: &str) {
        self.closes.with_label_values(&[reason]).inc();
    }

    /// Counts a stream that a socket follows from now on, or follows from its head because it could not be continued.
    pub fn resumed(&self, has_position: bool, is_resync: bool) {
        let index = if is_resync { 2 } else { usize::from(has_position) };
        if let Some(counter) = self.subscribed.get(index) {
            counter.inc();
        }
    }
}
