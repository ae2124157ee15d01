//! What time it is: the database's time, so that all instances agree. Everything else takes the time as a parameter.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time at an instant of late, which spares whoever knows one another look at the machine's clock.
    fn at(&self, instant: Instant) -> Timestamp;

    /// How long the clock has run, for what counts time and does not ask what time it is: it never jumps.
    fn steady(&self) -> Duration;

    /// Takes in that the database said `database` to a question sent at `sent` and answered at `received`.
    fn observe(&self, database: Timestamp, sent: Instant, received: Instant);

    /// Whether the database's own clock tells the same time.
    fn is_the_databases(&self) -> bool {
        true
    }

    /// The time that statements take in place of the database's clock, which most read by themselves: none, unless this clock
    /// tells another time, as in tests.
    fn substitute(&self) -> Option<Timestamp> {
        (!self.is_the_databases()).then(|| self.now())
    }

    /// Whether the time can be trusted: it has been heard, and does not jump.
    fn is_steady(&self) -> bool;
}

/// The database's time, carried on between questions by the machine's monotonic clock.
#[derive(Debug)]
pub struct DatabaseClock {
    started: Instant,
    /// Microseconds from `started` on the monotonic clock to the Unix epoch on the database's.
    offset: AtomicI64,
    heard: AtomicBool,
    steady: AtomicBool,
}

/// A difference beyond this is a jump of either clock and not the network's doing.
const JUMP: Duration = Duration::from_millis(500);

impl DatabaseClock {
    /// A clock that starts from this machine's idea of the time, which is not trusted until the database is heard.
    pub fn new() -> Self {
        let unix = jiff::Timestamp::now().as_microsecond();
        Self {
            started: Instant::now(),
            offset: AtomicI64::new(unix),
            heard: AtomicBool::new(false),
            steady: AtomicBool::new(false),
        }
    }

    fn micros_since_start(&self, instant: Instant) -> i64 {
        micros(instant.saturating_duration_since(self.started))
    }
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let offset = self.offset.load(Ordering::Relaxed);
        Timestamp::from_micros(offset + self.micros_since_start(instant))
    }

    fn steady(&self) -> Duration {
        self.started.elapsed()
    }

    fn observe(&self, database: Timestamp, sent: Instant, received: Instant) {
        let round_trip = received.saturating_duration_since(sent);
        let middle = self.micros_since_start(sent) + micros(round_trip) / 2;
        let heard = database.as_micros() - middle;
        let held = self.offset.load(Ordering::Relaxed);
        let error = heard - held;
        let first = !self.heard.swap(true, Ordering::Relaxed);
        if first
            || error.unsigned_abs() > JUMP.as_micros() as u64 + micros(round_trip).unsigned_abs()
        {
            self.offset.store(heard, Ordering::Relaxed);
            self.steady.store(first, Ordering::Relaxed);
            if !first {
                tracing::warn!(jump_ms = error / 1000, "the database's time jumped");
            }
            return;
        }
        // Half the round trip is the most that this question can be wrong by: only the rest is a difference, and it is
        // made up for gently, as one slow answer must not shake the time.
        let doubt = micros(round_trip) / 2;
        let drift = error.signum() * (error.abs() - doubt).max(0);
        self.offset.store(held + drift / 4, Ordering::Relaxed);
        self.steady.store(true, Ordering::Relaxed);
    }

    fn is_steady(&self) -> bool {
        self.steady.load(Ordering::Relaxed)
    }
}

/// A clock that stands still until it is told to move, for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock on (back, where negative).
    pub fn advance(&self, seconds: f64) {
        let moved = self.now().plus_seconds(seconds);
        self.0.store(moved.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn at(&self, _: Instant) -> Timestamp {
        self.now()
    }

    fn steady(&self) -> Duration {
        Duration::from_micros(self.now().as_micros().unsigned_abs())
    }

    fn observe(&self, _: Timestamp, _: Instant, _: Instant) {}

    fn is_the_databases(&self) -> bool {
        false
    }

    fn is_steady(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(clock: &DatabaseClock, micros: i64) -> Timestamp {
        Timestamp::from_micros(clock.now().as_micros() + micros)
    }

    #[test]
    fn the_first_answer_sets_the_time() {
        let clock = DatabaseClock::new();
        assert!(!clock.is_steady());
        let instant = Instant::now();
        let expected = ahead(&clock, 3_600_000_000);
        clock.observe(expected, instant, instant);
        assert!(clock.is_steady());
        assert!((clock.now().seconds_since(expected)).abs() < 0.1);
    }

    #[test]
    fn a_jump_unsettles_the_clock_until_it_is_confirmed() {
        let clock = DatabaseClock::new();
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        let instant = Instant::now();
        clock.observe(ahead(&clock, -60_000_000), instant, instant);
        assert!(!clock.is_steady());
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        assert!(clock.is_steady());
    }

    #[test]
    fn a_slow_answer_does_not_shake_the_time() {
        let clock = DatabaseClock::new();
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        let before = clock.offset.load(Ordering::Relaxed);
        let late = instant + Duration::from_secs(2);
        clock.observe(ahead(&clock, 1_900_000), instant, late);
        assert_eq!(clock.offset.load(Ordering::Relaxed), before);
    }
}
