//! The plot of `docs/balance.svg`: how a player's energy grows, in its first hours and over a week.

use std::fmt::Write;

use super::habits::{DAY, HOUR, MINUTE};
use super::history::{Event, History, Sample};
use super::labels::{self, GAP, Label, Placed};
use super::tables::Names;
use super::text;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 650.0;
const TOP: f64 = 160.0;
const BOTTOM: f64 = 590.0;
/// The y coordinate of the first row of labels, and the distance between rows.
const LABELS: f64 = 92.0;
const ROW: f64 = 16.0;

const LIFETIME: &str = "#1c6dae";
const RATE: &str = "#d8761a";
const PRESTIGE: &str = "#86419c";
const INK: &str = "#2b2f36";
const FAINT: &str = "#6d737d";
const GRID: &str = "#e4e6ea";
const NIGHT: &str = "#f0f1f6";

/// Points of a curve that are closer to the previous one than this, in pixels, are omitted.
const STEP: f64 = 1.5;

/// One of the two diagrams, which show different spans of time.
struct Panel {
    title: &'static str,
    left: f64,
    right: f64,
    from: f64,
    to: f64,
    /// The y axis: the powers of ten at the lower and the upper edge, and the step between grid lines.
    decades: (i32, i32, usize),
    /// Seconds from one tick to the next.
    tick: f64,
}

const FIRST_HOURS: Panel = Panel {
    title: "The first two hours",
    left: 64.0,
    right: 420.0,
    from: 0.0,
    to: 2.0 * HOUR,
    decades: (0, 8, 1),
    tick: 30.0 * MINUTE,
};

const WEEK: Panel = Panel {
    title: "The first week",
    left: 488.0,
    right: 1176.0,
    from: 0.0,
    to: 7.0 * DAY,
    decades: (0, 20, 2),
    tick: DAY,
};

/// The whole picture as SVG.
pub fn svg(history: &History, names: &Names) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <title>Energy of a simulated player over its first week</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fdfdfc\"/>\n"
    );
    legend(&mut svg);
    for panel in [&FIRST_HOURS, &WEEK] {
        panel.frame(&mut svg);
        panel.curve(&mut svg, history, RATE, |sample| sample.energy_per_second);
        panel.curve(&mut svg, history, LIFETIME, |sample| sample.lifetime_energy);
        panel.markers(&mut svg, history, names);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    text_at(svg, 24.0, 36.0, "font-size=\"20\" font-weight=\"600\"", "A week of the greedy player");
    let line = |svg: &mut String, x: f64, colour: &str, dashes: &str, text: &str| {
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 32h28\" stroke=\"{colour}\" stroke-width=\"2.5\"{dashes}/>"
        );
        text_at(svg, x + 36.0, 36.0, "", text);
    };
    line(svg, 420.0, LIFETIME, "", "lifetime energy");
    line(svg, 564.0, RATE, "", "energy per second");
    line(svg, 726.0, PRESTIGE, " stroke-dasharray=\"5 3\"", "prestige (total of cores)");
    let _ = writeln!(
        svg,
        "<circle cx=\"953\" cy=\"32\" r=\"4.5\" fill=\"#fff\" stroke=\"{LIFETIME}\" \
         stroke-width=\"2\"/>\n\
         <rect x=\"1098\" y=\"24\" width=\"28\" height=\"16\" fill=\"{NIGHT}\" stroke=\"{GRID}\"/>"
    );
    text_at(svg, 965.0, 36.0, "", "first of a generator");
    text_at(svg, 1134.0, 36.0, "", "asleep");
}

fn text_at(svg: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}

impl Panel {
    fn x(&self, time: f64) -> f64 {
        self.left + (time - self.from) / (self.to - self.from) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high, _) = self.decades;
        let share = (value.log10() - f64::from(low)) / f64::from(high - low);
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    fn frame(&self, svg: &mut String) {
        let (left, right) = (self.left, self.right);
        text_at(svg, left, 70.0, "font-size=\"14\" font-weight=\"600\"", self.title);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"#fff\"/>",
            right - left,
            BOTTOM - TOP,
        );
        self.nights(svg);
        self.amounts(svg);
        self.times(svg);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {TOP}V{BOTTOM}H{right}\" fill=\"none\" stroke=\"{FAINT}\"/>"
        );
    }

    fn nights(&self, svg: &mut String) {
        let asleep = |day: usize| {
            let woke = day as f64 * DAY;
            let bedtime = super::habits::next_bedtime_or_waking(woke);
            (self.x(bedtime), self.x(woke + DAY))
        };
        for (start, end) in (0..7).map(asleep).filter(|(start, _)| *start < self.right) {
            let _ = writeln!(
                svg,
                "<rect x=\"{start:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\" \
                 fill=\"{NIGHT}\"/>",
                end - start,
                BOTTOM - TOP,
            );
        }
    }

    fn amounts(&self, svg: &mut String) {
        let (low, high, step) = self.decades;
        for decade in (low..=high).step_by(step) {
            let y = self.y(10f64.powi(decade));
            let _ = writeln!(
                svg,
                "<path d=\"M{} {y:.1}H{}\" stroke=\"{GRID}\"/>",
                self.left, self.right
            );
            let style = format!("text-anchor=\"end\" fill=\"{FAINT}\"");
            text_at(svg, self.left - 8.0, y + 4.0, &style, &power_of_ten(decade));
        }
        let (x, y) = (self.left - 44.0, f64::midpoint(TOP, BOTTOM));
        let style = format!("text-anchor=\"middle\" transform=\"rotate(-90 {x:.1} {y:.1})\"");
        text_at(svg, x, y, &style, "energy, energy per second");
    }

    fn times(&self, svg: &mut String) {
        let ticks = ((self.to - self.from) / self.tick).round() as usize;
        for tick in 0..=ticks {
            let time = self.from + tick as f64 * self.tick;
            let x = self.x(time);
            let _ = writeln!(svg, "<path d=\"M{x:.1} {BOTTOM}v5\" stroke=\"{FAINT}\"/>");
            let text = match (tick, self.tick < DAY) {
                (0, _) => "0".into(),
                (_, true) => format!("{:.0} min", time / MINUTE),
                (1, false) => "1 day".into(),
                (days, false) => format!("{days} days"),
            };
            let style = format!("text-anchor=\"middle\" fill=\"{FAINT}\"");
            text_at(svg, x, BOTTOM + 20.0, &style, &text);
        }
        let middle = f64::midpoint(self.left, self.right);
        text_at(
            svg,
            middle,
            BOTTOM + 44.0,
            "text-anchor=\"middle\"",
            "time since the player began",
        );
    }

    fn curve(
        &self,
        svg: &mut String,
        history: &History,
        colour: &str,
        value: impl Fn(&Sample) -> f64,
    ) {
        let shown = history.samples.iter().filter(|sample| sample.time <= self.to);
        let points = shown.map(|sample| (self.x(sample.time), self.y(value(sample))));
        let mut path = String::new();
        let mut last: Option<(f64, f64)> = None;
        for (x, y) in points {
            if last.is_none_or(|(before, above)| (x - before).hypot(y - above) >= STEP) {
                let _ = write!(path, "{}{x:.1} {y:.1}", if last.is_none() { "M" } else { "L" });
                last = Some((x, y));
            }
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-linejoin=\"round\"/>"
        );
    }

    fn markers(&self, svg: &mut String, history: &History, names: &Names) {
        let generators: Vec<&Event> = history.first_generators();
        let events: Vec<&Event> =
            generators.into_iter().filter(|event| self.marks(event.before.time)).collect();
        let mut labels: Vec<Label> = events.iter().map(|event| self.label(event, names)).collect();
        if self.to > FIRST_HOURS.to {
            labels.extend(history.prestiges().into_iter().map(|event| self.prestige(event)));
        }
        for placed in labels::place(labels, self.left, self.right + 16.0) {
            flag(svg, &placed);
        }
        for event in events {
            let (x, y) = self.point(event);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"#fff\" \
                 stroke=\"{LIFETIME}\" stroke-width=\"2\"/>"
            );
        }
    }

    /// Whether an event at `time` is marked in this panel: each event is marked in one panel only.
    fn marks(&self, time: f64) -> bool {
        (time <= FIRST_HOURS.to) == (self.to <= FIRST_HOURS.to)
    }

    fn point(&self, event: &Event) -> (f64, f64) {
        (self.x(event.before.time), self.y(event.before.lifetime_energy))
    }

    fn label(&self, event: &Event, names: &Names) -> Label {
        let (x, foot) = self.point(event);
        Label { x, text: names.get(&event.reference), colour: INK, foot }
    }

    fn prestige(&self, event: &Event) -> Label {
        let text = text::amount(event.cores);
        Label { x: self.x(event.before.time), text, colour: PRESTIGE, foot: BOTTOM }
    }
}

fn flag(svg: &mut String, placed: &Placed) {
    let Label { x, text, colour, foot } = &placed.label;
    let y = LABELS + placed.row as f64 * ROW;
    let dashes = if *colour == PRESTIGE { " stroke-dasharray=\"5 3\"" } else { "" };
    let _ = writeln!(
        svg,
        "<path d=\"M{x:.1} {:.1}V{foot:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.55\"{dashes}/>",
        y - 10.0,
    );
    let (at, anchor) = if placed.is_left { (x - GAP, "end") } else { (x + GAP, "start") };
    let style = format!("font-size=\"11\" text-anchor=\"{anchor}\" fill=\"{colour}\"");
    text_at(svg, at, y, &style, text);
}

fn power_of_ten(decade: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |digit: char| digit.to_digit(10).map_or('⁻', |digit| RAISED[digit as usize]);
    match decade {
        0 => "1".into(),
        1 => "10".into(),
        _ => format!("10{}", decade.to_string().chars().map(raise).collect::<String>()),
    }
}
