//! Load shedding: refusing mutations that would have to wait too long.
//!
//! An admitted mutation waits behind all that were admitted before, so their number determines the wait. The admissible
//! number depends on the machine and the database and is learned: as many as are answered within [`TARGET`]. Excess
//! mutations are refused before the token is checked or the body is read, so that they cost the admitted ones little.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::Metrics;

/// The average time that admitted mutations may take if their number is what makes them wait.
const TARGET: Duration = Duration::from_millis(100);
/// Mutations that are always admitted: as many as one commit takes. A distant database is slow but not overloaded.
const LEAST: usize = 512;
/// Mutations that are admitted until it is known how many are answered in time.
const USUAL: usize = 1024;
/// The largest limit: as many as may wait in a lane.
const MOST: usize = 8192;
/// The number in flight from which response times are measured. Below it, which is nearly always the case, admission
/// costs next to nothing.
const CROWD: usize = LEAST / 2;
/// How long response times are measured before the limit is adjusted.
const WINDOW: Duration = Duration::from_millis(100);
/// The largest factors by which the limit rises or falls at a time.
const MOST_RISE: f64 = 2.0;
const MOST_FALL: f64 = 0.5;
/// The interval of log lines while requests are refused.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Admits mutations or refuses them.
#[derive(Debug)]
pub struct Shedding {
    in_flight: AtomicUsize,
    limit: AtomicUsize,
    window: Window,
    logged_at: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// What was measured since the limit was last adjusted.
#[derive(Debug)]
struct Window {
    /// The start of the microseconds below.
    epoch: Instant,
    /// When the limit was adjusted. Mutations that were admitted before do not count.
    began: AtomicU64,
    /// When the limit is adjusted next.
    ends: AtomicU64,
    answered: AtomicU64,
    /// The sum of their response times in microseconds.
    waited: AtomicU64,
    most_in_flight: AtomicUsize,
}

/// The admission of a mutation. It must be returned with [`Shedding::leave`] or [`Shedding::carried_out`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Admission {
    at: Instant,
    /// Whether its response time is measured.
    crowded: bool,
}

impl Shedding {
    /// A value without mutations in flight.
    pub fn new(metrics: Metrics, now: Instant) -> Self {
        metrics.mutations_limit.set(gauge(USUAL));
        Self {
            in_flight: AtomicUsize::new(0),
            limit: AtomicUsize::new(USUAL),
            window: Window {
                epoch: now,
                began: AtomicU64::new(0),
                ends: AtomicU64::new(micros(WINDOW)),
                answered: AtomicU64::new(0),
                waited: AtomicU64::new(0),
                most_in_flight: AtomicUsize::new(0),
            },
            logged_at: Mutex::new(None),
            metrics,
        }
    }

    /// Admits a mutation; `None` if too many are in flight.
    pub fn admit(&self, now: Instant) -> Option<Admission> {
        let (before, limit) =
            (self.in_flight.fetch_add(1, Ordering::Relaxed), self.limit.load(Ordering::Relaxed));
        if before >= limit {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.metrics.requests_shed.inc();
            self.log_refusals(now, limit);
            return None;
        }
        let crowded = before >= CROWD;
        if crowded {
            self.window.most_in_flight.fetch_max(before + 1, Ordering::Relaxed);
        }
        Some(Admission { at: now, crowded })
    }

    /// Ends the admission of a mutation that was refused later. Refusals take no time, so they do not count.
    pub fn leave(&self, _: Admission) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the admission of a mutation that was carried out.
    pub fn carried_out(&self, admission: Admission, now: Instant) {
        if admission.crowded {
            self.learn(admission.at, now);
        }
        self.leave(admission);
    }

    /// Measures a mutation that took from `at` until `now`.
    fn learn(&self, at: Instant, now: Instant) {
        let (window, relaxed) = (&self.window, Ordering::Relaxed);
        let (let_in, answered) = (window.time(at), window.time(now));
        if let_in < window.began.load(relaxed) {
            return;
        }
        window.answered.fetch_add(1, relaxed);
        window.waited.fetch_add(answered.saturating_sub(let_in), relaxed);
        let ends = window.ends.load(relaxed);
        if answered < ends {
            return;
        }
        let wait = window.waited.load(relaxed) / window.answered.load(relaxed).max(1);
        // The next window must include answers to mutations that were admitted under the new limit. One of the threads
        // that see the end of this window begins the next one.
        let next = answered + wait + micros(WINDOW);
        if window.ends.compare_exchange(ends, next, relaxed, relaxed).is_ok() {
            let most = window.most_in_flight.swap(0, relaxed);
            let limit = next_limit(self.limit.load(relaxed), most, Duration::from_micros(wait));
            self.limit.store(limit, relaxed);
            window.began.store(answered, relaxed);
            window.answered.store(0, relaxed);
            window.waited.store(0, relaxed);
            self.metrics.mutations_limit.set(gauge(limit));
        }
    }

    /// Logs that requests are refused, but not for each one.
    fn log_refusals(&self, now: Instant, limit: usize) {
        let Ok(mut logged_at) = self.logged_at.try_lock() else { return };
        if logged_at.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY) {
            *logged_at = Some(now);
            tracing::warn!(limit, "overloaded; excess mutations are refused");
        }
    }
}

impl Window {
    /// An instant in the units of the window.
    fn time(&self, instant: Instant) -> u64 {
        micros(instant.saturating_duration_since(self.epoch))
    }
}

/// The limit after a window with at most `most` mutations in flight that took `wait` on average. Above the capacity the
/// throughput is constant, so the wait is proportional to the number in flight.
fn next_limit(limit: usize, most: usize, wait: Duration) -> usize {
    let ratio = TARGET.as_secs_f64() / wait.as_secs_f64().max(1e-6);
    let next = if ratio < 1.0 {
        most.min(limit) as f64 * ratio
    } else if most >= limit {
        limit as f64 * ratio
    } else {
        // A limit that was not reached is neither too high nor too low.
        limit.max(USUAL) as f64
    };
    let (lowest, highest) = (limit as f64 * MOST_FALL, limit as f64 * MOST_RISE);
    (next.clamp(lowest, highest) as usize).clamp(LEAST, MOST)
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
