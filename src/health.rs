//! What the process knows of its own state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Whether requests can be served, and how its parts fare. Written by the pulse, read by everybody.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    database_up: AtomicBool,
    database_latency_micros: AtomicU64,
}

/// Whether the process should be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It was never ready yet.
    Starting,
    Ready,
    /// It serves what it can without the database.
    Degraded,
    /// It is about to end.
    Draining,
}

impl Health {
    /// Notes that everything needed to serve is there.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Whether everything needed to serve has ever been there.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Notes that the process is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Notes that the database answered in that time.
    pub fn database_answered(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.database_latency_micros.store(micros, Ordering::Relaxed);
        self.database_up.store(true, Ordering::Relaxed);
    }

    /// Notes that the database did not answer. Returns whether it had before.
    pub fn database_failed(&self) -> bool {
        self.database_up.swap(false, Ordering::Relaxed)
    }

    /// How fast the database answered last; nothing where it does not.
    pub fn database_latency(&self) -> Option<Duration> {
        let up = self.database_up.load(Ordering::Relaxed);
        up.then(|| Duration::from_micros(self.database_latency_micros.load(Ordering::Relaxed)))
    }

    /// Whether the process should be sent requests.
    pub fn readiness(&self) -> Readiness {
        if self.is_draining() {
            Readiness::Draining
        } else if !self.has_started() {
            Readiness::Starting
        } else if self.database_latency().is_some() {
            Readiness::Ready
        } else {
            Readiness::Degraded
        }
    }
}
