//! Formats numbers and times for people.

use idlewatt::domain::{Effect, Upgrade};

use super::habits::{DAY, HOUR, MINUTE};

const SCALES: [(f64, &str); 5] = [
    (1e18, "quintillion"),
    (1e15, "quadrillion"),
    (1e12, "trillion"),
    (1e9, "billion"),
    (1e6, "million"),
];

/// At most three significant digits, except that numbers from a thousand to a million are whole: `0.15`, `31,695`,
/// `1.25 million`.
pub fn amount(value: f64) -> String {
    if let Some((scale, name)) = SCALES.iter().find(|(scale, _)| value >= *scale) {
        return format!("{} {name}", digits(value / scale));
    }
    if value < 1000.0 {
        return digits(value);
    }
    let whole = value as u64;
    format!("{},{:03}", whole / 1000, whole % 1000)
}

fn digits(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').into() }
}

/// The two or three largest units, such as `4 min 24 s` or `1 d 9 h 58 min`.
pub fn duration(seconds: f64) -> String {
    let part = |of: f64, unit: f64| (seconds % of / unit) as u64;
    let (hours, minutes) = (part(DAY, HOUR), part(HOUR, MINUTE));
    if seconds < MINUTE {
        format!("{seconds:.0} s")
    } else if seconds < HOUR {
        format!("{minutes} min {} s", part(MINUTE, 1.0))
    } else if seconds < DAY {
        format!("{hours} h {minutes} min")
    } else {
        format!("{} d {hours} h {minutes} min", (seconds / DAY) as u64)
    }
}

/// The effect of an upgrade; `name_of` gives a generator's name.
pub fn effect(upgrade: &Upgrade, name_of: impl Fn(&str) -> String) -> String {
    match &upgrade.effect {
        Effect::GeneratorMultiplier { generator, multiplier } => {
            format!("{} ×{multiplier}", name_of(generator.as_str()))
        }
        Effect::GlobalMultiplier { multiplier } => format!("everything ×{multiplier}"),
        Effect::ClickFlat { energy } => format!("+{} a click", amount(*energy)),
        Effect::ClickShare { share } => {
            format!("+{:.0} % of a second's production a click", share * 100.0)
        }
        Effect::OfflineCap { seconds } => format!("+{} h offline", seconds / HOUR),
    }
}
