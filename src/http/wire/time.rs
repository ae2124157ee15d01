//! Times as RFC 3339 in UTC with milliseconds.

use crate::domain::Timestamp;

/// `2026-11-21T10:00:00.000Z`. Fractions of a millisecond are cut off.
pub fn rfc3339(time: Timestamp) -> String {
    // Times outside the calendar's years, which no clock tells, end at its edges.
    let edge = if time.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(edge);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_z() {
        let time = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000Z");
    }
}
