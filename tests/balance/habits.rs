//! When the simulated player is present, and when it clicks.
//!
//! Times are seconds since the player began, which is when it wakes on its first day.

pub const MINUTE: f64 = 60.0;
pub const HOUR: f64 = 60.0 * MINUTE;
pub const DAY: f64 = 24.0 * HOUR;

/// Seconds of a day in which the player is awake, with the page open. It sleeps for the rest of the day.
const AWAKE: f64 = 16.0 * HOUR;
const CLICKS_PER_SECOND: u64 = 5;
/// Seconds at the beginning of a run during which the player clicks all the time, because it has little production. A
/// run ends with a prestige.
const OPENING: f64 = 10.0 * MINUTE;
/// Seconds at the beginning of each later hour during which the player clicks.
const BURST: f64 = MINUTE;
/// In the last seconds before bedtime the player starts no new run, because the night would produce almost nothing.
const EVENING: f64 = 2.0 * HOUR;

pub fn is_awake(time: f64) -> bool {
    time % DAY < AWAKE
}

/// The next bedtime if the player is awake; otherwise the time at which it wakes.
pub fn next_bedtime_or_waking(time: f64) -> f64 {
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

/// Whether the player would start a new run at this time of the day.
pub fn has_time_for_a_run(time: f64) -> bool {
    is_awake(time) && next_bedtime_or_waking(time) - time > EVENING
}

/// Seconds between `from` and `to` in which the player is awake.
pub fn awake_between(from: f64, to: f64) -> f64 {
    let awake_until = |time: f64| (time / DAY).floor() * AWAKE + (time % DAY).min(AWAKE);
    awake_until(to) - awake_until(from)
}
