//! Times as RFC 3339 in UTC with milliseconds.

use crate::domain::Timestamp;

/// Formats a time like `2026-11-21T10:00:00.000Z`. Fractions of a millisecond are cut off.
pub fn rfc3339(time: Timestamp) -> String {
    // Times outside the range that the calendar library supports become its first or last time.
    let edge = if time.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(edge);
    format!("{time:.3}")
}

const DAY_SECONDS: i64 = 86_400;

/// Appends the same text as [`rfc3339`]. Faster, because years from 1970 to 9998 are calculated without the calendar
/// library.
pub fn write_rfc3339(text: &mut Vec<u8>, time: Timestamp) {
    let millis = time.as_micros().div_euclid(1000);
    let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = civil(days);
    if !(1970..=9998).contains(&year) {
        return text.extend_from_slice(rfc3339(time).as_bytes());
    }
    let mut written = *b"0000-00-00T00:00:00.000Z";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 3, millis),
    ];
    for (start, digits, mut number) in fields {
        for place in written.iter_mut().skip(start).take(digits).rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    text.extend_from_slice(&written);
}

/// Year, month and day of a day counted from the Unix epoch, calculated with eras of 400 years that begin in March
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    fn write_rfc3339_matches_rfc3339() {
        let day = 86_400_000_000;
        let days = (-800..20_000).map(|number| number * 37 * day + 12_345_678_912);
        for micros in days.chain([0, 1, 999, 1000, 999_999, 1_000_000, -1, i64::MAX, i64::MIN]) {
            let (time, mut text) = (Timestamp::from_micros(micros), Vec::new());
            write_rfc3339(&mut text, time);
            assert_eq!(String::from_utf8(text), Ok(rfc3339(time)));
        }
    }
}
