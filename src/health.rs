//! What the process knows of its own state.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Whether requests can be served, and how its parts fare. Written by the pulse, read by everybody.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    database_up: AtomicBool,
    database_latency_micros: AtomicU64,
    writes: AtomicU8,
    jobs: AtomicU8,
    jobs_latency_micros: AtomicU64,
}

/// Whether the database takes writes, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritesHealth {
    Taken,
    /// The database is read-only.
    ReadOnly,
    /// The database's disk is full, or does not work.
    DiskFault,
}

const WRITES_TAKEN: u8 = 0;
const WRITES_READ_ONLY: u8 = 1;
const WRITES_DISK_FAULT: u8 = 2;

/// How the jobs fare, as far as this process works on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsHealth {
    /// This process does not work on jobs.
    Disabled,
    /// It does; and how fast the queue answered last, once it has.
    Working(Option<Duration>),
    /// It does, and yet jobs that are due have to wait; and how fast the queue answered last.
    Behind(Duration),
    /// The queue does not answer.
    Down,
}

const JOBS_DISABLED: u8 = 0;
const JOBS_STARTING: u8 = 1;
const JOBS_WORKING: u8 = 2;
const JOBS_BEHIND: u8 = 3;
const JOBS_DOWN: u8 = 4;

/// Whether the process should be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It was never ready yet.
    Starting,
    Ready,
    /// It serves what it can without the database, or with one that takes no writes.
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

    /// Notes whether the database takes writes.
    pub fn note_writes(&self, writes: WritesHealth) {
        let state = match writes {
            WritesHealth::Taken => WRITES_TAKEN,
            WritesHealth::ReadOnly => WRITES_READ_ONLY,
            WritesHealth::DiskFault => WRITES_DISK_FAULT,
        };
        self.writes.store(state, Ordering::Relaxed);
    }

    /// Whether the database takes writes, as far as is known.
    pub fn writes(&self) -> WritesHealth {
        match self.writes.load(Ordering::Relaxed) {
            WRITES_TAKEN => WritesHealth::Taken,
            WRITES_READ_ONLY => WritesHealth::ReadOnly,
            _ => WritesHealth::DiskFault,
        }
    }

    /// Notes that this process works on jobs.
    pub fn enable_jobs(&self) {
        self.jobs.store(JOBS_STARTING, Ordering::Relaxed);
    }

    /// Notes that the queue of jobs answered in that time, and whether jobs that are due have to wait.
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

    /// How the jobs fare.
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

    /// Whether the process should be sent requests.
    pub fn readiness(&self) -> Readiness {
        if self.is_draining() {
            Readiness::Draining
        } else if !self.has_started() {
            Readiness::Starting
        } else if self.database_latency().is_some() && self.writes() == WritesHealth::Taken {
            Readiness::Ready
        } else {
            Readiness::Degraded
        }
    }
}
