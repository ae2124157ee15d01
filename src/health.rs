//! The health of the process.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Whether requests can be served, and the state of each part.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: watch::Sender<bool>,
    database_up: AtomicBool,
    database_latency_micros: AtomicU64,
    writes: AtomicU8,
    jobs: AtomicU8,
    jobs_latency_micros: AtomicU64,
}

/// Whether the database accepts writes, according to the last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritesHealth {
    Accepted,
    /// The database is read-only.
    ReadOnly,
    /// The database's disk is full or faulty.
    DiskFault,
}

const WRITES_ACCEPTED: u8 = 0;
const WRITES_READ_ONLY: u8 = 1;
const WRITES_DISK_FAULT: u8 = 2;

/// The state of the jobs, if this process runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsHealth {
    /// This process does not run jobs.
    Disabled,
    /// This process runs jobs. The value is the queue's last response time; `None` before the first response.
    Working(Option<Duration>),
    /// This process runs jobs, but jobs that are due must wait. The value is the queue's last response time.
    Behind(Duration),
    /// The queue does not answer.
    Down,
}

const JOBS_DISABLED: u8 = 0;
const JOBS_STARTING: u8 = 1;
const JOBS_WORKING: u8 = 2;
const JOBS_BEHIND: u8 = 3;
const JOBS_DOWN: u8 = 4;

/// Whether the process should receive requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has not been ready yet.
    Starting,
    Ready,
    /// The database does not answer or accepts no writes. The process still serves the requests that it can.
    Degraded,
    /// It is shutting down.
    Draining,
}

impl Health {
    /// Notes that the process has become able to serve requests.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Whether the process has ever been able to serve requests.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Notes that the process is shutting down.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Whether the process is shutting down.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Changes when the process begins to shut down.
    pub fn watch_draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Notes that the database answered within `latency`.
    pub fn database_answered(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.database_latency_micros.store(micros, Ordering::Relaxed);
        self.database_up.store(true, Ordering::Relaxed);
    }

    /// Notes that the database did not answer. Returns whether it answered before.
    pub fn database_failed(&self) -> bool {
        self.database_up.swap(false, Ordering::Relaxed)
    }

    /// The database's last response time; `None` while it does not answer.
    pub fn database_latency(&self) -> Option<Duration> {
        let up = self.database_up.load(Ordering::Relaxed);
        up.then(|| Duration::from_micros(self.database_latency_micros.load(Ordering::Relaxed)))
    }

    /// Notes whether the database accepts writes.
    pub fn note_writes(&self, writes: WritesHealth) {
        let state = match writes {
            WritesHealth::Accepted => WRITES_ACCEPTED,
            WritesHealth::ReadOnly => WRITES_READ_ONLY,
            WritesHealth::DiskFault => WRITES_DISK_FAULT,
        };
        self.writes.store(state, Ordering::Relaxed);
    }

    /// Whether the database accepts writes, according to the last check.
    pub fn writes(&self) -> WritesHealth {
        match self.writes.load(Ordering::Relaxed) {
            WRITES_ACCEPTED => WritesHealth::Accepted,
            WRITES_READ_ONLY => WritesHealth::ReadOnly,
            _ => WritesHealth::DiskFault,
        }
    }

    /// Notes that this process runs jobs.
    pub fn enable_jobs(&self) {
        self.jobs.store(JOBS_STARTING, Ordering::Relaxed);
    }

    /// Notes that the queue of jobs answered within `latency`, and whether jobs that are due must wait.
    pub fn jobs_answered(&self, latency: Duration, behind: bool) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.jobs_latency_micros.store(micros, Ordering::Relaxed);
        let state = if behind { JOBS_BEHIND } else { JOBS_WORKING };
        self.jobs.store(state, Ordering::Relaxed);
    }

    /// Notes that the queue of jobs did not answer.
    pub fn jobs_failed(&self) {
        self.jobs.store(JOBS_DOWN, Ordering::Relaxed);
    }

    /// The state of the jobs.
    pub fn jobs(&self) -> JobsHealth {
        let latency = Duration::from_micros(self.jobs_latency_micros.load(Ordering::Relaxed));
        match self.jobs.load(Ordering::Relaxed) {
            JOBS_DISABLED => JobsHealth::Disabled,
            JOBS_STARTING => JobsHealth::Working(None),
            JOBS_WORKING => JobsHealth::Working(Some(latency)),
            JOBS_BEHIND => JobsHealth::Behind(latency),
            _ => JobsHealth::Down,
        }
    }

    /// Whether the process should receive requests.
    pub fn readiness(&self) -> Readiness {
        if self.is_draining() {
            Readiness::Draining
        } else if !self.has_started() {
            Readiness::Starting
        } else if self.database_latency().is_some() && self.writes() == WritesHealth::Accepted {
            Readiness::Ready
        } else {
            Readiness::Degraded
        }
    }
}
