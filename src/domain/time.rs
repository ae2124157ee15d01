//! Points in time. The rules never read a clock; callers pass the time.

/// A point in time, in whole microseconds since the Unix epoch, which is the resolution of Postgres' `timestamptz`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: f64 = 1e6;

impl Timestamp {
    /// The time `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The seconds from `earlier` to this time. Negative if `earlier` is later than this time.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / MICROS_PER_SECOND
    }

    /// The time `seconds` after this one (before it, if negative), rounded to the nearest microsecond.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        // `as` saturates, so a very large number of seconds gives the end of the range and does not wrap around.
        Self(self.0.saturating_add((seconds * MICROS_PER_SECOND).round() as i64))
    }
}
