//! A bar that shows how far something is, on standard error.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// Characters of the bar.
const WIDTH: u64 = 40;

/// A bar on a terminal; else a line for every tenth.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    began: Instant,
    terminal: bool,
    /// Tenths that were told.
    told: u64,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let terminal = stderr().is_terminal();
        Self { what, total, done: 0, began: Instant::now(), terminal, told: 0 }
    }

    /// Notes that so many more are done.
    pub(super) fn add(&mut self, count: u64) {
        self.done += count;
        let tenths = self.done * 10 / self.total.max(1);
        if self.terminal {
            write(&format!("\r{}", self.line()));
        } else if tenths > self.told {
            write(&format!("{}\n", self.line()));
        }
        self.told = tenths;
    }

    /// Ends the bar.
    pub(super) fn finish(self) {
        if self.terminal {
            write("\n");
        }
    }

    /// `[########----] 40% 400000 of 1000000 players, 12 s left`
    fn line(&self) -> String {
        let total = self.total.max(1);
        let full = (self.done * WIDTH / total) as usize;
        let empty = WIDTH as usize - full;
        let seconds = self.began.elapsed().as_secs_f64();
        let left = seconds / self.done.max(1) as f64 * total.saturating_sub(self.done) as f64;
        format!(
            "[{}{}] {:>3}% {} of {} {}, {left:.0} s left ",
            "#".repeat(full),
            "-".repeat(empty),
            self.done * 100 / total,
            self.done,
            self.total,
            self.what,
        )
    }
}

/// Nobody may be listening; what is done is done all the same.
fn write(text: &str) {
    let mut out = stderr().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("standard error is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up() {
        let mut progress = Progress { terminal: false, ..Progress::new("players", 200) };
        assert!(progress.line().starts_with("[----"));
        progress.add(50);
        let line = progress.line();
        assert!(line.starts_with(&format!(
            "[{}{}]  25% 50 of 200",
            "#".repeat(10),
            "-".repeat(30)
        )));
        progress.add(150);
        assert!(progress.line().contains("####] 100% 200 of 200 players, 0 s left"));
    }
}
