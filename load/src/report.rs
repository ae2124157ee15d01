//! The output: a line per second while it runs, a table at the end.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::profile::Kind;
use crate::record::{Latencies, Record, Records};

/// A line.
pub fn tell(line: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody may be reading; the measurement continues.
    writeln!(err, "{line}").unwrap_or_default();
}

/// A line that the next one replaces, on a terminal.
pub fn show(line: &str) {
    let mut err = std::io::stderr().lock();
    let written = if err.is_terminal() {
        write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush())
    } else {
        writeln!(err, "{line}")
    };
    written.unwrap_or_default();
}

/// A quantile in milliseconds.
pub fn milliseconds(latencies: &Latencies, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e3
}

/// Prints each second's numbers a second later.
pub async fn progress(records: Rc<RefCell<Records>>, end: Instant) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let records = records.borrow();
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        // The last second but one is complete, as far as its requests are answered.
        let Some(second) = records.seconds.len().checked_sub(2) else { continue };
        let Some(second) = records.seconds.get(second) else { continue };
        show(&format!(
            "{left:4} s left  {:6} players  {:6} answers/s  p50 {:7.1} ms  p99 {:7.1} ms  {} failed  {} limited",
            records.playing,
            second.waited.len(),
            milliseconds(&second.waited, 0.5),
            milliseconds(&second.waited, 0.99),
            records.failures(),
            records.limited
        ));
    }
}

/// Prints the results.
pub fn summarize(records: &Records) {
    tell("\n");
    tell("milliseconds from when a request was due to its answer, once all players had come");
    tell(&format!(
        "{:10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "count", "p50", "p90", "p99", "p99.9", "max"
    ));
    for kind in Kind::ALL {
        row(kind.name(), records.of(kind));
    }
    let all = records.all();
    row("all", &all);
    tell(&format!(
        "{:10} {:9} {:9.2} {:9.2} {:9.2} {:9.2} {:9.2}",
        "from sent",
        all.served.len(),
        milliseconds(&all.served, 0.5),
        milliseconds(&all.served, 0.9),
        milliseconds(&all.served, 0.99),
        milliseconds(&all.served, 0.999),
        milliseconds(&all.served, 1.0),
    ));
    tell(&format!(
        "{} failed, {} refused by the limits; the generator itself was late by {:.2} ms in the 99th percentile",
        records.failures(),
        records.limited,
        milliseconds(&records.late, 0.99)
    ));
    for (what, count) in &records.failed {
        tell(&format!("  {count:6} {what}"));
    }
}

fn row(name: &str, record: &Record) {
    let waited = &record.waited;
    if waited.is_empty() {
        return;
    }
    tell(&format!(
        "{name:10} {:9} {:9.2} {:9.2} {:9.2} {:9.2} {:9.2}",
        waited.len(),
        milliseconds(waited, 0.5),
        milliseconds(waited, 0.9),
        milliseconds(waited, 0.99),
        milliseconds(waited, 0.999),
        milliseconds(waited, 1.0),
    ));
}
