//! Clocks. The server uses the database's time, so that all instances agree. Other modules take the time as a
//! parameter.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::Timestamp;

/// A source of the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Converts a recent `Instant` to database time without reading the clock again.
    fn at(&self, instant: Instant) -> Timestamp;

    /// Monotonic time since the clock was made.
    fn steady(&self) -> Duration;

    /// Adjusts the clock to the time `database`, which the database reported in the answer to a query that was sent at
    /// `sent` and answered at `received`.
    fn observe(&self, database: Timestamp, sent: Instant, received: Instant);

    /// Whether this clock follows the database's clock.
    fn is_the_databases(&self) -> bool {
        true
    }

    /// The time that statements use instead of the database's clock; `None` if this clock follows the database's clock,
    /// which is always so except in tests.
    fn substitute(&self) -> Option<Timestamp> {
        (!self.is_the_databases()).then(|| self.now())
    }

    /// How far the current time is behind the latest time that the database reported; zero unless the database's clock
    /// stepped back.
    fn behind(&self) -> Duration {
        Duration::ZERO
    }

    /// The current time, or `None` if it is not reliable, because the database has not answered yet or its clock has
    /// just jumped. Reliability and time come from one call, because the clock could jump between two calls.
    fn steady_now(&self) -> Option<Timestamp>;
}

/// The database's time. Between its answers the machine's monotonic clock is used.
#[derive(Debug)]
pub struct DatabaseClock {
    started: Instant,
    /// A [`Reading`] in one word, so that a reader never gets a new offset with an old flag.
    reading: AtomicI64,
    /// The latest time before a step back, in microseconds since the Unix epoch; 0 before the first step back.
    latest: AtomicI64,
}

/// What is known about the database's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    /// Microseconds from the Unix epoch to the clock's start, by the database's clock.
    offset: i64,
    /// Whether the database has ever answered.
    has_answered: bool,
    /// Whether the last two answers agreed; true after the first answer.
    steady: bool,
}

/// The flags are the lowest bits of the word. The offset above them has room for 73,000 years.
const HAS_ANSWERED: i64 = 0b01;
const STEADY: i64 = 0b10;
const FLAG_BITS: u32 = 2;

impl Reading {
    fn to_word(self) -> i64 {
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let offset = self.offset.clamp(i64::MIN >> FLAG_BITS, i64::MAX >> FLAG_BITS);
        offset << FLAG_BITS | flag(self.has_answered, HAS_ANSWERED) | flag(self.steady, STEADY)
    }

    fn from_word(word: i64) -> Self {
        Self {
            offset: word >> FLAG_BITS,
            has_answered: word & HAS_ANSWERED != 0,
            steady: word & STEADY != 0,
        }
    }

    fn at(self, since_start: i64) -> Timestamp {
        Timestamp::from_micros(self.offset + since_start)
    }
}

/// A larger difference between clock and answer is taken as a jump of the database's clock, not as network latency.
const JUMP: Duration = Duration::from_millis(500);

impl DatabaseClock {
    /// A clock that begins with this machine's time. It is not reliable until the database has answered.
    pub fn new() -> Self {
        let offset = jiff::Timestamp::now().as_microsecond();
        let guessed = Reading { offset, has_answered: false, steady: false };
        let reading = AtomicI64::new(guessed.to_word());
        Self { started: Instant::now(), reading, latest: AtomicI64::new(0) }
    }

    fn reading(&self) -> Reading {
        Reading::from_word(self.reading.load(Ordering::Relaxed))
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
        self.reading().at(self.micros_since_start(instant))
    }

    fn steady(&self) -> Duration {
        self.started.elapsed()
    }

    fn observe(&self, database: Timestamp, sent: Instant, received: Instant) {
        let round_trip = received.saturating_duration_since(sent);
        let middle = self.micros_since_start(sent) + micros(round_trip) / 2;
        let reported = database.as_micros() - middle;
        let held = self.reading();
        let error = reported - held.offset;
        let largest = JUMP.as_micros() as u64 + micros(round_trip).unsigned_abs();
        let next = if !held.has_answered {
            Reading { offset: reported, has_answered: true, steady: true }
        } else if error.unsigned_abs() > largest {
            if error < 0 {
                // Callers may have got times up to this one.
                let held = held.at(self.micros_since_start(sent)).as_micros();
                self.latest.fetch_max(held, Ordering::Relaxed);
                tracing::warn!(
                    seconds = -error as f64 / 1e6,
                    "the database's clock stepped back: production pauses until it has caught up, clicks and purchases continue"
                );
            } else {
                let seconds = error as f64 / 1e6;
                tracing::warn!(seconds, "the database's clock stepped forward");
            }
            Reading { offset: reported, has_answered: true, steady: false }
        } else {
            // The answer can be wrong by at most half of the round trip, so only the rest is a certain difference. A
            // quarter of it is corrected at a time, so that one slow answer has little effect.
            let uncertainty = micros(round_trip) / 2;
            let drift = error.signum() * (error.abs() - uncertainty).max(0);
            Reading { offset: held.offset + drift / 4, has_answered: true, steady: true }
        };
        self.reading.store(next.to_word(), Ordering::Relaxed);
    }

    fn behind(&self) -> Duration {
        let behind = self.latest.load(Ordering::Relaxed).saturating_sub(self.now().as_micros());
        Duration::from_micros(u64::try_from(behind).unwrap_or(0))
    }

    fn steady_now(&self) -> Option<Timestamp> {
        let reading = self.reading();
        reading.steady.then(|| reading.at(self.micros_since_start(Instant::now())))
    }
}

/// A clock for tests. It changes only when it is advanced.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Advances the clock, or sets it back if `seconds` is negative.
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

    fn steady_now(&self) -> Option<Timestamp> {
        Some(self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    fn ahead(clock: &DatabaseClock, micros: i64) -> Timestamp {
        Timestamp::from_micros(clock.now().as_micros() + micros)
    }

    #[test]
    fn the_first_answer_sets_the_time() {
        let clock = DatabaseClock::new();
        assert_eq!(clock.steady_now(), None);
        let instant = Instant::now();
        let expected = ahead(&clock, 3_600_000_000);
        clock.observe(expected, instant, instant);
        assert!(clock.steady_now().is_some());
        assert!((clock.now().seconds_since(expected)).abs() < 0.1);
    }

    #[test]
    fn after_a_jump_the_time_is_unreliable_until_it_is_confirmed() {
        let clock = DatabaseClock::new();
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        let instant = Instant::now();
        clock.observe(ahead(&clock, -60_000_000), instant, instant);
        assert_eq!(clock.steady_now(), None);
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        assert!(clock.steady_now().is_some());
    }

    #[test]
    fn a_step_back_is_reported_until_the_clock_has_caught_up() {
        let clock = DatabaseClock::new();
        let observe = |micros| {
            let instant = Instant::now();
            clock.observe(ahead(&clock, micros), instant, instant);
        };
        observe(0);
        observe(-200_000);
        observe(7_200_000_000);
        assert_eq!(clock.behind(), Duration::ZERO);
        observe(-3_600_000_000);
        let behind = clock.behind().as_secs_f64();
        assert!((3_590.0..=3_600.0).contains(&behind), "{behind}");
        observe(-60_000_000);
        assert!(clock.behind().as_secs_f64() > behind, "a further step adds to it");
        observe(3_650_000_000);
        let behind = clock.behind().as_secs_f64();
        assert!((0.0..=10.0).contains(&behind), "{behind}");
        observe(60_000_000);
        assert_eq!(clock.behind(), Duration::ZERO);
    }

    /// The jump is never confirmed, so no reader may get a time after it.
    #[test]
    fn no_reader_gets_a_time_that_has_just_jumped() {
        const HOUR: i64 = 3_600_000_000;
        let clock = DatabaseClock::new();
        let start = Instant::now();
        let base = clock.now();
        clock.observe(base, start, start);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        if let Some(now) = clock.steady_now() {
                            reads += 1;
                            let off = now.seconds_since(base);
                            assert!(
                                off.abs() < 1_800.0,
                                "a time that is {off} s wrong was returned"
                            );
                        }
                    }
                    assert!(reads > 0, "no reader got a time");
                });
            }
            for _ in 0..300_000 {
                let instant = Instant::now();
                let now = base.plus_seconds(instant.duration_since(start).as_secs_f64());
                for ahead in [HOUR, 0, 0] {
                    let reported = Timestamp::from_micros(now.as_micros() + ahead);
                    clock.observe(reported, instant, instant);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_slow_answer_does_not_change_the_time() {
        let clock = DatabaseClock::new();
        let instant = Instant::now();
        clock.observe(clock.now(), instant, instant);
        let before = clock.reading();
        let late = instant + Duration::from_secs(2);
        clock.observe(ahead(&clock, 1_900_000), instant, late);
        assert_eq!(clock.reading(), before);
    }

    proptest! {
        #[test]
        fn a_reading_is_unchanged_by_conversion_to_a_word(
            offset in i64::MIN >> FLAG_BITS..=i64::MAX >> FLAG_BITS,
            has_answered: bool,
            steady: bool,
        ) {
            let reading = Reading { offset, has_answered, steady };
            prop_assert_eq!(Reading::from_word(reading.to_word()), reading);
        }

        #[test]
        fn a_too_large_offset_is_clamped_and_changes_no_flag(
            offset: i64,
            has_answered: bool,
            steady: bool,
        ) {
            let read = Reading::from_word(Reading { offset, has_answered, steady }.to_word());
            prop_assert_eq!((read.has_answered, read.steady), (has_answered, steady));
            prop_assert_eq!(read.offset.signum(), offset.signum());
            prop_assert!(read.offset.unsigned_abs() <= offset.unsigned_abs());
        }
    }
}
