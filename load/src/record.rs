//! Measurements.

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::profile::Kind;

/// Latencies in microseconds, up to a minute, with three digits.
pub type Latencies = Histogram<u64>;

/// Empty.
pub fn latencies() -> Latencies {
    // Only contradictory bounds are refused.
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|error| unreachable!("{error}"))
}

/// For one kind of request, or for all.
#[derive(Debug)]
pub struct Record {
    /// From when a request was due until its answer.
    pub waited: Latencies,
    /// From when it was sent.
    pub served: Latencies,
}

impl Record {
    pub fn new() -> Self {
        Self { waited: latencies(), served: latencies() }
    }

    /// Records a request.
    pub fn note(&mut self, times: Times) {
        self.waited.saturating_record(micros(times.due, times.answered));
        self.served.saturating_record(micros(times.sent, times.answered));
    }
}

/// For one second.
#[derive(Debug)]
pub struct Second {
    pub waited: Latencies,
    pub failures: u64,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Records {
    begin: Instant,
    /// When all players have joined: earlier requests are only drawn over time.
    full: Instant,
    kinds: [Record; 4],
    pub seconds: Vec<Second>,
    pub limited: u64,
    pub playing: usize,
    /// How late requests were sent that did not wait for an answer: the generator's own delay.
    pub late: Latencies,
    /// Failures by kind.
    pub failed: std::collections::BTreeMap<String, u64>,
}

/// The times of a request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub due: Instant,
    pub sent: Instant,
    pub answered: Instant,
}

/// Whole microseconds from one instant to another, at least one.
pub fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX).max(1)
}

impl Records {
    pub fn new(begin: Instant, full: Instant) -> Self {
        Self {
            begin,
            full,
            kinds: std::array::from_fn(|_| Record::new()),
            seconds: Vec::new(),
            limited: 0,
            playing: 0,
            late: latencies(),
            failed: std::collections::BTreeMap::new(),
        }
    }

    /// Records an answered request.
    pub fn answered(&mut self, kind: Kind, times: Times) {
        let waited = micros(times.due, times.answered);
        self.second(times.due).waited.saturating_record(waited);
        if times.due >= self.full {
            self.kinds[kind as usize].note(times);
        }
    }

    /// Records a failed request, at any time.
    pub fn failed(&mut self, due: Instant, why: String) {
        self.second(due).failures += 1;
        *self.failed.entry(why).or_default() += 1;
    }

    /// Records when a request was sent that could be sent at its time.
    pub fn sent(&mut self, due: Instant, sent: Instant) {
        self.late.saturating_record(micros(due, sent));
    }

    fn second(&mut self, due: Instant) -> &mut Second {
        let index = due.saturating_duration_since(self.begin).as_secs() as usize;
        while self.seconds.len() <= index {
            self.seconds.push(Second { waited: latencies(), failures: 0 });
        }
        &mut self.seconds[index]
    }

    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    pub fn of(&self, kind: Kind) -> &Record {
        &self.kinds[kind as usize]
    }

    /// All kinds together.
    pub fn all(&self) -> Record {
        let mut all = Record::new();
        for record in &self.kinds {
            // Histograms with the same bounds can always be added.
            all.waited.add(&record.waited).unwrap_or_default();
            all.served.add(&record.served).unwrap_or_default();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that stops for three seconds is charged for all requests that were due meanwhile, although only one was
    /// sent.
    #[test]
    fn a_stall_is_charged_for_what_was_due() {
        let begin = Instant::now();
        let mut records = Records::new(begin, begin);
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        // The answer to the first arrives at 3; the others are sent then and answered at once.
        for (due, sent, answered) in [(0.0, 0.0, 3.0), (1.0, 3.0, 3.001), (2.0, 3.001, 3.002)] {
            let times = Times { due: at(due), sent: at(sent), answered: at(answered) };
            records.answered(Kind::State, times);
        }
        let all = records.all();
        assert_eq!(all.waited.len(), 3);
        assert!(all.waited.min() > 990_000, "the last waited a second");
        assert!(all.served.value_at_quantile(0.5) < 2_000, "it was served at once");
    }

    #[test]
    fn the_ramp_is_not_counted() {
        let begin = Instant::now();
        let full = begin + Duration::from_secs(10);
        let mut records = Records::new(begin, full);
        for due in [begin, full] {
            records.answered(Kind::Clicks, Times { due, sent: due, answered: due });
        }
        assert_eq!(records.of(Kind::Clicks).waited.len(), 1);
        assert_eq!(records.seconds.len(), 11);
    }
}
