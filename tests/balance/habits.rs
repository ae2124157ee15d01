//! When the simulated player is present, and when it clicks.
//!
//! Times are seconds since the player began, which is when it gets up on its first day.

pub const MINUTE: f64 = 60.0;
pub const HOUR: f64 = 60.0 * MINUTE;
pub const DAY: f64 = 24.0 * HOUR;

/// It is awake for so long, with the page open; then it sleeps for the rest of the day.
const AWAKE: f64 = 16.0 * HOUR;
const CLICKS_PER_SECOND: u64 = 5;
/// It clicks during the whole beginning of a run, while there is little other energy.
const OPENING: f64 = 10.0 * MINUTE;
/// Later it clicks for a short while at the beginning of each hour.
const BURST: f64 = MINUTE;
/// It starts no new run so shortly before bedtime, because the night would produce nothing.
const EVENING: f64 = 2.0 * HOUR;

pub fn is_awake(time: f64) -> bool {
    time % DAY < AWAKE
}

/// When it goes to bed next, or gets up if it is asleep.
pub fn next_turn(time: f64) -> f64 {
    let day_began = (time / DAY).floor() * DAY;
    if is_awake(time) { day_began + AWAKE } else { day_began + DAY }
}

/// Clicks per second at `time` in a run that began at `run_began`.
pub fn clicks_per_second(time: f64, run_began: f64) -> u64 {
    let clicks = time - run_began < OPENING || time % HOUR < BURST;
    if clicks && is_awake(time) { CLICKS_PER_SECOND } else { 0 }
}

/// When the next burst of clicks begins.
pub fn next_burst(time: f64) -> f64 {
    ((time / HOUR).floor() + 1.0) * HOUR
}

/// Whether it would start a new run at this time of the day.
pub fn has_time_for_a_run(time: f64) -> bool {
    is_awake(time) && next_turn(time) - time > EVENING
}

/// The fraction of the time between `from` and `to` in which it is awake.
pub fn awake_between(from: f64, to: f64) -> f64 {
    let awake_until = |time: f64| (time / DAY).floor() * AWAKE + (time % DAY).min(AWAKE);
    awake_until(to) - awake_until(from)
}
