//! The output on standard error: one line per second during the test, and a table at the end.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::profile::Kind;
use crate::record::{Latencies, Record, Records};

/// Prints a line.
pub fn print_line(line: &str) {
    let mut err = std::io::stderr().lock();
    // The measurement continues if standard error is closed.
    writeln!(err, "{line}").unwrap_or_default();
}

/// Prints a line; on a terminal the next such line replaces it.
pub fn print_progress(line: &str) {
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

/// Prints the numbers of each second when it is over. Never returns.
pub async fn progress(records: Rc<RefCell<Records>>, end: Instant) {
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let records = records.borrow();
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        // The last second is not over, so the one before it is printed. Requests may still be unanswered.
        let Some(second) = records.seconds.len().checked_sub(2) else { continue };
        let Some(second) = records.seconds.get(second) else { continue };
        print_progress(&format!(
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
    print_line("\n");
    print_line(
        "milliseconds from the due time of a request to its answer, after all players had joined",
    );
    print_line(&format!(
        "{:10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "count", "p50", "p90", "p99", "p99.9", "max"
    ));
    for kind in Kind::ALL {
        row(kind.name(), records.of(kind));
    }
    let all = records.all();
    row("all", &all);
    print_line(&format!(
        "{:10} {:9} {:9.2} {:9.2} {:9.2} {:9.2} {:9.2}",
        "from sent",
        all.served.len(),
        milliseconds(&all.served, 0.5),
        milliseconds(&all.served, 0.9),
        milliseconds(&all.served, 0.99),
        milliseconds(&all.served, 0.999),
        milliseconds(&all.served, 1.0),
    ));
    print_line(&format!(
        "{} failed, {} refused by rate limits; the generator sent its requests {:.2} ms late (99th percentile)",
        records.failures(),
        records.limited,
        milliseconds(&records.late, 0.99)
    ));
    for (what, count) in &records.failed {
        print_line(&format!("  {count:6} {what}"));
    }
}

fn row(name: &str, record: &Record) {
    let waited = &record.waited;
    if waited.is_empty() {
        return;
    }
    print_line(&format!(
        "{name:10} {:9} {:9.2} {:9.2} {:9.2} {:9.2} {:9.2}",
        waited.len(),
        milliseconds(waited, 0.5),
        milliseconds(waited, 0.9),
        milliseconds(waited, 0.99),
        milliseconds(waited, 0.999),
        milliseconds(waited, 1.0),
    ));
}
