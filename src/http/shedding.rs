//! Load shedding: refuses mutations that would have to wait too long.
//!
//! An admitted mutation waits behind all mutations that were admitted before, so the number in flight determines the
//! wait. The limit of that number depends on the machine and the database. It is adjusted at run time so that mutations
//! take [`TARGET`] on average. Excess mutations are refused before the token is checked and the body is read, so that
//! refusals use little of the capacity.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::Metrics;

/// The average response time that admitted mutations may reach under overload.
const TARGET: Duration = Duration::from_millis(100);
/// The smallest limit: as many mutations as one commit can contain. With fewer in flight, long response times come from
/// a distant database and not from overload.
const MIN_LIMIT: usize = 512;
/// The limit before the first measurement.
const INITIAL_LIMIT: usize = 1024;
/// The largest limit: the capacity of a lane's queue.
const MAX_LIMIT: usize = 8192;
/// Response times are measured only if at least this many mutations are in flight. Usually there are fewer, and then
/// admission costs almost nothing.
const MEASURED_FROM: usize = MIN_LIMIT / 2;
/// How long response times are measured before the limit is adjusted.
const WINDOW: Duration = Duration::from_millis(100);
/// The factors that bound one adjustment of the limit.
const MAX_RISE: f64 = 2.0;
const MAX_FALL: f64 = 0.5;
/// The minimum time between two log lines about refused requests.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Admits mutations or refuses them.
#[derive(Debug)]
pub struct Shedding {
    in_flight: AtomicUsize,
    limit: AtomicUsize,
    window: Window,
    logged_at: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// The measurements since the limit was last adjusted. Times are microseconds since `epoch`.
#[derive(Debug)]
struct Window {
    epoch: Instant,
    /// When the limit was last adjusted. Mutations that were admitted earlier are not measured.
    started: AtomicU64,
    /// The earliest time of the next adjustment.
    ends: AtomicU64,
    /// The number of measured mutations.
    answered: AtomicU64,
    /// The sum of their response times.
    waited: AtomicU64,
    max_in_flight: AtomicUsize,
}

/// The admission of a mutation. It must be ended with [`Shedding::release`] or [`Shedding::complete`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Admission {
    at: Instant,
    /// Whether its response time is measured.
    is_measured: bool,
}

impl Shedding {
    /// Creates the state without mutations in flight.
    pub fn new(metrics: Metrics, now: Instant) -> Self {
        metrics.mutations_limit.set(gauge(INITIAL_LIMIT));
        Self {
            in_flight: AtomicUsize::new(0),
            limit: AtomicUsize::new(INITIAL_LIMIT),
            window: Window {
                epoch: now,
                started: AtomicU64::new(0),
                ends: AtomicU64::new(micros(WINDOW)),
                answered: AtomicU64::new(0),
                waited: AtomicU64::new(0),
                max_in_flight: AtomicUsize::new(0),
            },
            logged_at: Mutex::new(None),
            metrics,
        }
    }

    /// Admits a mutation. Returns `None` if too many are in flight.
    pub fn admit(&self, now: Instant) -> Option<Admission> {
        let (before, limit) =
            (self.in_flight.fetch_add(1, Ordering::Relaxed), self.limit.load(Ordering::Relaxed));
        if before >= limit {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.metrics.requests_shed.inc();
            self.log_refusals(now, limit);
            return None;
        }
        let is_measured = before >= MEASURED_FROM;
        if is_measured {
            self.window.max_in_flight.fetch_max(before + 1, Ordering::Relaxed);
        }
        Some(Admission { at: now, is_measured })
    }

    /// Ends the admission of a mutation that failed or was cancelled. Its response time is not measured.
    pub fn release(&self, _: Admission) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the admission of a mutation that succeeded.
    pub fn complete(&self, admission: Admission, now: Instant) {
        if admission.is_measured {
            self.measure(admission.at, now);
        }
        self.release(admission);
    }

    /// Adds a mutation that was admitted at `at` and completed at `now`. At the end of the window, adjusts the limit.
    fn measure(&self, at: Instant, now: Instant) {
        let (window, relaxed) = (&self.window, Ordering::Relaxed);
        let (admitted, answered) = (window.time(at), window.time(now));
        if admitted < window.started.load(relaxed) {
            return;
        }
        window.answered.fetch_add(1, relaxed);
        window.waited.fetch_add(answered.saturating_sub(admitted), relaxed);
        let ends = window.ends.load(relaxed);
        if answered < ends {
            return;
        }
        let wait = window.waited.load(relaxed) / window.answered.load(relaxed).max(1);
        // The next window must be long enough for mutations that were admitted under the new limit to complete. Several
        // threads may see the end of this window; the exchange lets one of them start the next one.
        let next = answered + wait + micros(WINDOW);
        if window.ends.compare_exchange(ends, next, relaxed, relaxed).is_ok() {
            let most = window.max_in_flight.swap(0, relaxed);
            let limit = next_limit(self.limit.load(relaxed), most, Duration::from_micros(wait));
            self.limit.store(limit, relaxed);
            window.started.store(answered, relaxed);
            window.answered.store(0, relaxed);
            window.waited.store(0, relaxed);
            self.metrics.mutations_limit.set(gauge(limit));
        }
    }

    /// Logs that requests are refused, at most once per [`LOG_INTERVAL`].
    fn log_refusals(&self, now: Instant, limit: usize) {
        let Ok(mut logged_at) = self.logged_at.try_lock() else { return };
        if logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL) {
            *logged_at = Some(now);
            tracing::warn!(limit, "overloaded; excess mutations are refused");
        }
    }
}

impl Window {
    /// An instant as microseconds since `epoch`.
    fn time(&self, instant: Instant) -> u64 {
        micros(instant.saturating_duration_since(self.epoch))
    }
}

/// The new limit after a window in which at most `most` mutations were in flight and took `wait` on average. Under
/// overload the throughput is constant, so the wait is proportional to the number in flight.
fn next_limit(limit: usize, most: usize, wait: Duration) -> usize {
    let ratio = TARGET.as_secs_f64() / wait.as_secs_f64().max(1e-6);
    let next = if ratio < 1.0 {
        most.min(limit) as f64 * ratio
    } else if most >= limit {
        limit as f64 * ratio
    } else {
        // The limit was not reached, so the measurements give no reason to change it.
        limit.max(INITIAL_LIMIT) as f64
    };
    let (lowest, highest) = (limit as f64 * MAX_FALL, limit as f64 * MAX_RISE);
    (next.clamp(lowest, highest) as usize).clamp(MIN_LIMIT, MAX_LIMIT)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn gauge(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "shedding_tests.rs"]
mod tests;
