//! A progress bar on standard error.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The template of the bar.
const TEMPLATE: &str = "[{bar:40}] {percent:>3}% {pos} of {len} players, {eta} left";

/// A bar that is drawn if standard error is a terminal. Otherwise a line is written after every tenth.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    /// Tenths for which a line was written.
    written: u64,
}

impl Progress {
    /// A bar for `total` players.
    pub(super) fn new(total: u64) -> Self {
        let is_terminal = stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // If the template were invalid, the default one would be used; a test checks it.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("##-"));
        }
        Self { bar, is_terminal, written: 0 }
    }

    /// Notes that `count` more players are done.
    pub(super) fn add(&mut self, count: u64) {
        self.bar.inc(count);
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        let tenths = done * 10 / total;
        if !self.is_terminal && tenths > self.written {
            let line = format!("{:>3}% {done} of {total} players\n", done * 100 / total);
            // An error is ignored: standard error may be closed, and the players are written in any case.
            stderr().write_all(line.as_bytes()).unwrap_or_default();
        }
        self.written = tenths;
    }

    /// Ends the bar.
    pub(super) fn finish(self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bar_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let mut progress = Progress::new(200);
        progress.add(50);
        assert_eq!((progress.bar.position(), progress.written), (50, 2));
        progress.add(150);
        assert_eq!((progress.bar.position(), progress.written), (200, 10));
    }
}
