//! Records the latencies and failures of requests.

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::profile::Kind;

/// A histogram of latencies in microseconds, up to one minute, with three significant digits.
pub type Latencies = Histogram<u64>;

/// A histogram without values.
pub fn latencies() -> Latencies {
    // The constructor fails only for contradictory bounds.
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|error| unreachable!("{error}"))
}

/// The latencies of one kind of request, or of all kinds.
#[derive(Debug)]
pub struct Record {
    /// From the due time of a request until its answer.
    pub waited: Latencies,
    /// From the sending of a request until its answer.
    pub served: Latencies,
}

impl Record {
    pub fn new() -> Self {
        Self { waited: latencies(), served: latencies() }
    }

    /// Adds an answered request.
    pub fn add(&mut self, times: Times) {
        self.waited.saturating_record(micros(times.due, times.answered));
        self.served.saturating_record(micros(times.sent, times.answered));
    }
}

/// The latencies and failures of the requests that were due in one second.
#[derive(Debug)]
pub struct Second {
    pub waited: Latencies,
    pub failures: u64,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Records {
    begin: Instant,
    /// When all players have joined. Earlier requests count only for the plot over time.
    full: Instant,
    kinds: [Record; 4],
    pub seconds: Vec<Second>,
    /// Requests that the rate limits refused with 429.
    pub limited: u64,
    /// Players that play at present.
    pub playing: usize,
    /// How long after their due time requests were sent, in microseconds, except those that had to wait for the
    /// previous answer. This is the delay of the generator itself.
    pub late: Latencies,
    /// Failures by request and cause.
    pub failed: std::collections::BTreeMap<String, u64>,
}

/// The times of a request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub due: Instant,
    pub sent: Instant,
    pub answered: Instant,
}

/// Whole microseconds between two instants, at least 1, which is the lower bound of the histograms.
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
            self.kinds[kind as usize].add(times);
        }
    }

    /// Records a failed request, also if not all players have joined.
    pub fn failed(&mut self, due: Instant, why: String) {
        self.second(due).failures += 1;
        *self.failed.entry(why).or_default() += 1;
    }

    /// Records when a request was sent that did not have to wait for the previous answer.
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
            // Adding histograms with the same bounds cannot fail.
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

    /// The server stalls for three seconds. The stall counts for all requests that were due during it, although only
    /// one was in flight.
    #[test]
    fn a_stall_counts_for_all_requests_that_were_due() {
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
        assert!(all.waited.min() > 990_000, "the last request waited a second");
        assert!(all.served.value_at_quantile(0.5) < 2_000, "the median request was served at once");
    }

    #[test]
    fn requests_during_the_ramp_count_only_over_time() {
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
