//! Counts in requests. They are read as raw JSON first, so that a number out of range (422) can be distinguished from a
//! value that is not a number (400).

use serde_json::value::RawValue;

use super::number::read_whole;
use crate::api::problem::Problem;
use crate::domain::{MAX_QUANTITY, Quantity};

/// A whole number from 1 to `most`.
///
/// # Errors
/// Returns 400 if the value is not a number, and 422 if the number is not a whole number in the range.
pub fn read_count(field: &str, raw: &RawValue, most: u64) -> Result<u64, Problem> {
    let text = raw.get();
    let range = || format!("must be a whole number from 1 to {most}");
    if !is_number(text) {
        return Err(Problem::malformed(field, range()));
    }
    let number = read_whole(raw).ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Problem::unacceptable(field, range()))
}

/// A whole number from 1 to a million, or `"max"`.
///
/// # Errors
/// Returns 400 if the value is neither a number nor a string, and 422 for any other number or string.
pub fn read_quantity(field: &str, raw: &RawValue) -> Result<Quantity, Problem> {
    let text = raw.get();
    if text == "\"max\"" {
        return Ok(Quantity::Max);
    }
    let range = || format!("must be a whole number from 1 to {MAX_QUANTITY}, or \"max\"");
    if text.starts_with('"') {
        return Err(Problem::unacceptable(field, range()));
    }
    if !is_number(text) {
        return Err(Problem::malformed(field, range()));
    }
    let number = read_whole(raw).ok().filter(|number| (1..=MAX_QUANTITY).contains(number));
    number.map(Quantity::Exactly).ok_or_else(|| Problem::unacceptable(field, range()))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Result<Quantity, u16> {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("JSON");
        read_quantity("quantity", &raw).map_err(|problem| problem.code().status())
    }

    #[test]
    fn quantities_are_whole_numbers_or_max() {
        assert_eq!(status("1"), Ok(Quantity::Exactly(1)));
        assert_eq!(status("1e6"), Ok(Quantity::Exactly(1_000_000)));
        assert_eq!(status("\"max\""), Ok(Quantity::Max));
        for unacceptable in
            ["0", "-1", "1.5", "1e400", "9223372036854775808", "1000001", "\"MAX\"", "-0"]
        {
            assert_eq!(status(unacceptable), Err(422), "{unacceptable}");
        }
        for malformed in ["null", "true", "[]", "{}", "[1]"] {
            assert_eq!(status(malformed), Err(400), "{malformed}");
        }
    }
}
