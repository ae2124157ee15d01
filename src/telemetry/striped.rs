//! Counters and gauges that many threads update. Each thread updates its own part, so that threads do not contend for
//! one cache line; a reader adds up the parts.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use prometheus::core::{Atomic, GenericCounter, GenericCounterVec, GenericGauge};

/// A counter.
pub type Counter = GenericCounter<StripedCount>;
/// Counters by labels.
pub type CounterVec = GenericCounterVec<StripedCount>;
/// A gauge.
pub type Gauge = GenericGauge<StripedLevel>;

/// Parts of a number. If there are more threads than parts, threads share parts.
const PARTS: usize = 8;

/// A part, aligned to two cache lines, because processors prefetch cache lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(AtomicI64);

/// A number in parts. Reading is not atomic: a reader may miss changes of the last moment.
#[derive(Debug, Default)]
struct Striped([Part; PARTS]);

impl Striped {
    fn of(value: i64) -> Self {
        let striped = Self::default();
        striped.set(value);
        striped
    }

    fn add(&self, delta: i64) {
        self.0[part()].0.fetch_add(delta, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        let parts = self.0.iter().map(|part| part.0.load(Ordering::Relaxed));
        parts.fold(0, i64::wrapping_add)
    }

    fn set(&self, value: i64) {
        let [first, others @ ..] = &self.0;
        first.0.store(value, Ordering::Relaxed);
        for part in others {
            part.0.store(0, Ordering::Relaxed);
        }
    }
}

/// The index of this thread's part.
fn part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<Option<usize>> = const { Cell::new(None) };
    }
    PART.with(|part| {
        part.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Ordering::Relaxed) % PARTS;
            part.set(Some(mine));
            mine
        })
    })
}

/// A counter in parts.
#[derive(Debug)]
pub struct StripedCount(Striped);

impl Atomic for StripedCount {
    type T = u64;

    fn new(value: u64) -> Self {
        Self(Striped::of(value.cast_signed()))
    }

    fn set(&self, value: u64) {
        self.0.set(value.cast_signed());
    }

    fn get(&self) -> u64 {
        self.0.get().cast_unsigned()
    }

    fn inc_by(&self, delta: u64) {
        self.0.add(delta.cast_signed());
    }

    fn dec_by(&self, delta: u64) {
        self.0.add(delta.cast_signed().wrapping_neg());
    }
}

/// A gauge in parts, each of which may be below 0.
#[derive(Debug)]
pub struct StripedLevel(Striped);

impl Atomic for StripedLevel {
    type T = i64;

    fn new(value: i64) -> Self {
        Self(Striped::of(value))
    }

    fn set(&self, value: i64) {
        self.0.set(value);
    }

    fn get(&self) -> i64 {
        self.0.get()
    }

    fn inc_by(&self, delta: i64) {
        self.0.add(delta);
    }

    fn dec_by(&self, delta: i64) {
        self.0.add(delta.wrapping_neg());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn counts_of_all_threads_add_up() {
        let counter = Counter::new("counts", "Counts").expect("a counter");
        let level = Gauge::new("level", "A level").expect("a gauge");
        thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.inc();
                        level.inc();
                    }
                });
            }
        });
        level.sub(15_000);
        assert_eq!((counter.get(), level.get()), (16_000, 1000));
        level.set(-7);
        assert_eq!(level.get(), -7);
        counter.reset();
        assert_eq!(counter.get(), 0);
    }
}
