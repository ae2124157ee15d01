//! Draws the latencies as SVG: by percentile and over time.

use std::fmt::Write;

use crate::profile::Kind;
use crate::record::{Latencies, Records};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 340.0;
const MARGIN: f64 = 70.0;
const COLOURS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];

/// A plot area with two axes; the vertical one is logarithmic.
struct Panel {
    top: f64,
    /// Milliseconds at the lower and upper end; powers of ten.
    low: f64,
    high: f64,
}

impl Panel {
    fn new(top: f64, least: f64, most: f64) -> Self {
        let low = 10_f64.powf(least.max(0.01).log10().floor());
        let high = 10_f64.powf(most.max(low * 2.0).log10().ceil());
        Self { top, low, high }
    }

    /// The horizontal position of a fraction of the width.
    fn x(share: f64) -> f64 {
        MARGIN + share * (WIDTH - 2.0 * MARGIN)
    }

    /// The vertical position of a number of milliseconds.
    fn y(&self, milliseconds: f64) -> f64 {
        let share =
            (milliseconds.max(self.low) / self.low).log10() / (self.high / self.low).log10();
        self.top + (HEIGHT - MARGIN) * (1.0 - share.clamp(0.0, 1.0))
    }

    fn frame(&self, out: &mut String, title: &str) {
        text(out, MARGIN, self.top - 14.0, "start", title);
        let mut value = self.low;
        while value <= self.high * 1.001 {
            let y = self.y(value);
            line(out, Self::x(0.0), y, Self::x(1.0), y);
            text(out, MARGIN - 8.0, y + 4.0, "end", &format!("{value} ms"));
            value *= 10.0;
        }
    }

    fn tick(&self, out: &mut String, share: f64, label: &str) {
        let (x, foot) = (Self::x(share), self.y(self.low));
        line(out, x, self.top, x, foot);
        text(out, x, foot + 18.0, "middle", label);
    }

    fn curve(&self, out: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> = points
            .map(|(share, value)| format!("{:.1},{:.1}", Self::x(share), self.y(value)))
            .collect();
        writeln!(
            out,
            r#"<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{}"/>"#,
            points.join(" ")
        )
        .unwrap_or_default();
    }
}

fn line(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    writeln!(out, r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#ddd"/>"##)
        .unwrap_or_default();
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
        .unwrap_or_default();
}

fn legend(out: &mut String, y: f64, names: &[&str]) {
    for (index, (name, colour)) in names.iter().zip(COLOURS).enumerate() {
        let x = WIDTH - MARGIN - 110.0 * (names.len() - index) as f64;
        writeln!(
            out,
            r#"<rect x="{x:.1}" y="{:.1}" width="14" height="4" fill="{colour}"/>"#,
            y - 5.0
        )
        .unwrap_or_default();
        text(out, x + 20.0, y, "start", name);
    }
}

/// Quantiles with a mark on the horizontal axis, which is logarithmic in `1 - quantile`.
const NINES: [(f64, &str); 5] =
    [(0.0, "0 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

/// The position of a quantile as a fraction of the width: 0 for 0 %, 1 for 99.99 %.
fn share_of(quantile: f64) -> f64 {
    -(1.0 - quantile).log10() / 4.0
}

/// The SVG document.
pub fn draw(records: &Records, players: usize) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" \
        font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
        <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * HEIGHT + 60.0
    );
    by_percentile(&mut out, records, players);
    over_time(&mut out, records);
    out.push_str("</svg>\n");
    out
}

fn extremes<'a>(all: impl Iterator<Item = &'a Latencies>) -> (f64, f64) {
    let used = all.filter(|latencies| !latencies.is_empty());
    used.fold((f64::INFINITY, 0.01), |(least, most): (f64, f64), latencies| {
        (least.min(latencies.min() as f64 / 1e3), most.max(latencies.max() as f64 / 1e3))
    })
}

fn by_percentile(out: &mut String, records: &Records, players: usize) {
    let (least, most) = extremes(Kind::ALL.iter().map(|kind| &records.of(*kind).waited));
    let panel = Panel::new(40.0, least.min(most), most);
    let title = format!("Latency by percentile, {players} players");
    panel.frame(out, &title);
    for (quantile, label) in NINES {
        panel.tick(out, share_of(quantile), label);
    }
    for (kind, colour) in Kind::ALL.into_iter().zip(COLOURS) {
        let waited = &records.of(kind).waited;
        if waited.is_empty() {
            continue;
        }
        // Ends the curve at the highest percentile for which there are enough requests.
        let last = share_of(1.0 - 1.0 / waited.len() as f64).min(1.0);
        let points = (0..=200).map(|step| {
            let share = last * f64::from(step) / 200.0;
            let quantile = 1.0 - 10_f64.powf(-4.0 * share);
            (share, waited.value_at_quantile(quantile) as f64 / 1e3)
        });
        panel.curve(out, colour, points);
    }
    legend(out, 26.0, &Kind::ALL.map(Kind::name));
}

fn over_time(out: &mut String, records: &Records) {
    let top = HEIGHT + 70.0;
    let seconds = &records.seconds;
    let (least, most) = extremes(seconds.iter().map(|second| &second.waited));
    let panel = Panel::new(top, least.min(most), most);
    panel.frame(out, "Latency over time, per second");
    let last = seconds.len().saturating_sub(1).max(1) as f64;
    for step in 0..=6 {
        let share = f64::from(step) / 6.0;
        panel.tick(out, share, &format!("{:.0} s", share * last));
    }
    for (quantile, colour) in [0.5, 0.99, 1.0].into_iter().zip(COLOURS) {
        let points = seconds.iter().enumerate().filter(|(_, second)| !second.waited.is_empty());
        panel.curve(
            out,
            colour,
            points.map(|(index, second)| {
                (index as f64 / last, second.waited.value_at_quantile(quantile) as f64 / 1e3)
            }),
        );
    }
    for (index, second) in seconds.iter().enumerate().filter(|(_, second)| second.failures > 0) {
        let x = Panel::x(index as f64 / last);
        let words = format!("{} failed", second.failures);
        writeln!(
            out,
            r#"<circle cx="{x:.1}" cy="{top:.1}" r="4" fill="red"><title>{words}</title></circle>"#
        )
        .unwrap_or_default();
    }
    legend(out, top - 14.0, &["p50", "p99", "max"]);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::record::Times;

    #[test]
    fn a_plot_has_a_curve_for_each_kind_of_request_that_was_answered() {
        let begin = Instant::now();
        let mut records = Records::new(begin, begin);
        for second in 0..20 {
            let due = begin + Duration::from_secs(second);
            let answered = due + Duration::from_millis(1 + second);
            records.answered(Kind::State, Times { due, sent: due, answered });
            records.answered(Kind::Clicks, Times { due, sent: due, answered });
        }
        records.failed(begin + Duration::from_secs(5), "state 503".into());
        let svg = draw(&records, 20);
        assert_eq!(svg.matches("<polyline").count(), 2 + 3);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(draw(&Records::new(begin, begin), 0).matches("NaN").count(), 0);
    }
}
