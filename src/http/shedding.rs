//! Turning mutations away before they wait too long.
//!
//! Whoever is let in waits behind all that were let in before, so their number bounds the wait. How many that may be
//! depends on the machine and the database, and is learned: as many as are answered within [`TARGET`]. The surplus is
//! answered at once, before its token is checked or its body is read, so that it costs those that were let in little.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::Metrics;

/// How long mutations may take that are let in, on average, where it is their number that makes them wait.
const TARGET: Duration = Duration::from_millis(100);
/// Mutations that are let in however slow they are: as many as one commit takes. A distant database is slow, but not busy.
const LEAST: usize = 512;
/// Mutations that are let in before it is known how many are served in time.
const USUAL: usize = 1024;
/// Mutations that are let in at most: as many as may wait in a lane.
const MOST: usize = 8192;
/// How many make a crowd. With fewer it is not looked how long they take, so that those who are let in anyhow, which is
/// to say always, cost next to nothing.
const CROWD: usize = LEAST / 2;
/// For how long it is looked before the limit is set anew.
const WINDOW: Duration = Duration::from_millis(100);
/// How much it may rise or fall at a time.
const MOST_RISE: f64 = 2.0;
const MOST_FALL: f64 = 0.5;
/// A log line for so much time in which requests are turned away.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Lets mutations in, or not.
#[derive(Debug)]
pub struct Shedding {
    in_flight: AtomicUsize,
    limit: AtomicUsize,
    window: Window,
    told_at: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// What has been seen since the limit was last set.
#[derive(Debug)]
struct Window {
    /// What the microseconds below are counted from.
    epoch: Instant,
    /// When the limit was set. Who was let in before says nothing of it.
    began: AtomicU64,
    /// When it is set next.
    ends: AtomicU64,
    answered: AtomicU64,
    /// Microseconds that those took together.
    waited: AtomicU64,
    most_in_flight: AtomicUsize,
}

/// That a mutation was let in. It is handed back with [`Shedding::leave`] or [`Shedding::carried_out`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Admission {
    at: Instant,
    /// Whether there are so many before it that it matters how long it takes.
    crowded: bool,
}

impl Shedding {
    /// Nothing is in flight yet.
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
            told_at: Mutex::new(None),
            metrics,
        }
    }

    /// Lets a mutation in; none where there are too many before it.
    pub fn admit(&self, now: Instant) -> Option<Admission> {
        let (before, limit) =
            (self.in_flight.fetch_add(1, Ordering::Relaxed), self.limit.load(Ordering::Relaxed));
        if before >= limit {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.metrics.requests_shed.inc();
            self.tell(now, limit);
            return None;
        }
        let crowded = before >= CROWD;
        if crowded {
            self.window.most_in_flight.fetch_max(before + 1, Ordering::Relaxed);
        }
        Some(Admission { at: now, crowded })
    }

    /// Takes back that a mutation was let in which was not carried out: refusals take no time and tell nothing.
    pub fn leave(&self, _: Admission) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes in that a mutation was carried out.
    pub fn carried_out(&self, admission: Admission, now: Instant) {
        if admission.crowded {
            self.learn(admission.at, now);
        }
        self.leave(admission);
    }

    /// Takes in that a mutation took from `at` until `now`.
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
        // The next ends when some have been answered who were let in under the new limit. One of those who see the end of
        // this one begins it.
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

    /// Says in the log that requests are turned away, but not for each.
    fn tell(&self, now: Instant, limit: usize) {
        let Ok(mut told_at) = self.told_at.try_lock() else { return };
        if told_at.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY) {
            *told_at = Some(now);
            tracing::warn!(
                limit,
                "more mutations than can be served soon; the surplus is turned away"
            );
        }
    }
}

impl Window {
    /// An instant as the window's parts tell it.
    fn time(&self, instant: Instant) -> u64 {
        micros(instant.saturating_duration_since(self.epoch))
    }
}

/// The limit after a window in which at most `most` were in flight and took `wait` on average. So many are answered in a
/// time, whatever their number, once there are too many; so the wait is in proportion to the number.
fn next_limit(limit: usize, most: usize, wait: Duration) -> usize {
    let ratio = TARGET.as_secs_f64() / wait.as_secs_f64().max(1e-6);
    let next = if ratio < 1.0 {
        most.min(limit) as f64 * ratio
    } else if most >= limit {
        limit as f64 * ratio
    } else {
        // A limit that nobody reached is neither confirmed nor refuted.
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
