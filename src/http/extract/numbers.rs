//! Counts in bodies. They are read as raw JSON first, so that a number of the wrong size (422) can be told from
//! something that is no number at all (400).

use serde_json::value::RawValue;

use crate::domain::{MAX_QUANTITY, Quantity};
use crate::http::problem::Problem;

/// A whole number from 1 to `most`.
///
/// # Errors
/// 400 for what is no number, 422 for another number.
pub fn count(field: &str, raw: &RawValue, most: u64) -> Result<u64, Problem> {
    let text = raw.get();
    let range = || format!("must be a whole number from 1 to {most}");
    if !is_number(text) {
        return Err(Problem::malformed(field, range()));
    }
    let number = whole(text).filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Problem::unacceptable(field, range()))
}

/// A whole number from 1 to a million, or `"max"`.
///
/// # Errors
/// 400 for what is neither number nor text, 422 for another number or text.
pub fn quantity(field: &str, raw: &RawValue) -> Result<Quantity, Problem> {
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
    let number = whole(text).filter(|number| (1..=MAX_QUANTITY).contains(number));
    number.map(Quantity::Exactly).ok_or_else(|| Problem::unacceptable(field, range()))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The number, where it is whole: `5`, and `5.0` and `5e0` too, as JSON does not tell them apart.
fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    let fits = number.fract() == 0.0 && (0.0..=9e15).contains(&number);
    fits.then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    fn status(text: &str) -> Result<Quantity, u16> {
        let raw: Box<RawValue> = serde_json::from_str(text).expect("JSON");
        quantity("quantity", &raw).map_err(|problem| problem.status_code().as_u16())
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
