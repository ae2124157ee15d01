//! Times as RFC 3339 in UTC with milliseconds.

use std::cell::Cell;

use crate::domain::Timestamp;

/// `2026-11-21T10:00:00.000Z`. Fractions of a millisecond are cut off.
pub fn rfc3339(time: Timestamp) -> String {
    // Times outside the calendar's years, which no clock tells, end at its edges.
    let edge = if time.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(edge);
    format!("{time:.3}")
}

thread_local! {
    /// The second that was written last, as text.
    static SECOND: Cell<(i64, [u8; SECOND_LENGTH])> = const { Cell::new((i64::MIN, [0; SECOND_LENGTH])) };
}

const SECOND_LENGTH: usize = "2026-11-21T10:00:00".len();

/// Appends what [`rfc3339`] says. Most times are of the same second as the one before, of which only the milliseconds
/// are written anew.
pub fn write_rfc3339(text: &mut Vec<u8>, time: Timestamp) {
    let (second, micros) =
        (time.as_micros().div_euclid(1_000_000), time.as_micros().rem_euclid(1_000_000));
    let (written, mut digits) = SECOND.get();
    if written != second {
        let whole = rfc3339(time);
        let Some(first) = whole.as_bytes().first_chunk().filter(|_| whole.len() == 24) else {
            return text.extend_from_slice(whole.as_bytes());
        };
        digits = *first;
        SECOND.set((second, digits));
    }
    let digit = |unit: i64| b'0' + (micros / unit % 10) as u8;
    text.extend_from_slice(&digits);
    text.extend_from_slice(&[b'.', digit(100_000), digit(10_000), digit(1000), b'Z']);
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

    #[test]
    fn what_is_appended_is_the_same() {
        for micros in [0, 1, 999, 1000, 999_999, 1_000_000, -1, -1_000_000, 1_700_000_000_123_456] {
            let (time, mut text) = (Timestamp::from_micros(micros), Vec::new());
            write_rfc3339(&mut text, time);
            assert_eq!(String::from_utf8(text), Ok(rfc3339(time)));
        }
    }
}
