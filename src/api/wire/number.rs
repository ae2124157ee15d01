//! Whole numbers that are stored as doubles, and whole numbers that clients write as doubles. Game engines whose only
//! number type is a double, such as Godot's JSON and Lua, write 29 as `29.0`.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serialize, Serializer};

/// 2^53: up to here, every whole number is exactly representable as a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Serializes a whole number without a fraction if doubles represent it exactly.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub fn whole<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if (0.0..=MAX_EXACT).contains(number) {
        serializer.serialize_u64(*number as u64)
    } else {
        serializer.serialize_f64(*number)
    }
}

/// A whole number that is stored as a double and serialized without a fraction.
#[derive(Clone, Copy, Debug)]
pub struct Whole(pub f64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        whole(&self.0, serializer)
    }
}

/// Reads a non-negative whole number, for `#[serde(deserialize_with)]`.
pub fn read_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(WholeVisitor { takes_text: false })
}

/// Like [`read_whole`], but the number may be null.
pub fn read_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_option(Optional { takes_text: false })
}

/// Reads a non-negative whole number from a query parameter, which is a string.
pub fn read_parameter<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = deserializer.deserialize_option(Optional { takes_text: true })?;
    number.map(T::try_from).transpose().map_err(|_| D::Error::custom("the number is too large"))
}

struct WholeVisitor {
    takes_text: bool,
}

impl Visitor<'_> for WholeVisitor {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number that is not negative")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        let is_whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
        let wrong = || E::invalid_value(Unexpected::Float(number), &self);
        is_whole.then_some(number as u64).ok_or_else(wrong)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let wrong = E::invalid_type(Unexpected::Str(text), &self);
        let is_plain = text.starts_with(|first: char| first.is_ascii_digit());
        if !self.takes_text || !is_plain {
            return Err(wrong);
        }
        if let Ok(number) = text.parse() {
            return Ok(number);
        }
        // Accept `5.0` as in JSON, but no other notation of a double.
        let is_zero = |rest: &str| !rest.is_empty() && rest.bytes().all(|it| it == b'0');
        let whole = text.split_once('.').filter(|(_, rest)| is_zero(rest));
        whole.and_then(|(whole, _)| whole.parse().ok()).ok_or(wrong)
    }
}

struct Optional {
    takes_text: bool,
}

impl<'de> Visitor<'de> for Optional {
    type Value = Option<u64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number that is not negative")
    }

    fn visit_none<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_any(WholeVisitor { takes_text: self.takes_text }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Body {
        #[serde(deserialize_with = "read_whole")]
        count: u64,
        #[serde(default, deserialize_with = "read_optional")]
        version: Option<u64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Parameters {
        #[serde(default, deserialize_with = "read_parameter")]
        limit: Option<u64>,
    }

    #[test]
    fn whole_numbers_may_be_written_as_doubles() {
        let read = |text: &str| serde_json::from_str::<Body>(text).ok();
        for text in [
            r#"{"count":29,"version":7}"#,
            r#"{"count":29.0,"version":7.0}"#,
            r#"{"count":2.9e1,"version":70e-1}"#,
        ] {
            assert_eq!(read(text), Some(Body { count: 29, version: Some(7) }), "{text}");
        }
        assert_eq!(read(r#"{"count":0,"version":null}"#), Some(Body { count: 0, version: None }));
        assert_eq!(read(r#"{"count":18446744073709551615}"#).map(|it| it.count), Some(u64::MAX));
        for text in [
            r#"{"count":29.5}"#,
            r#"{"count":-1}"#,
            r#"{"count":-1.0}"#,
            r#"{"count":"29"}"#,
            r#"{"count":null}"#,
            r#"{"count":1e300}"#,
            r#"{"count":1,"version":1.5}"#,
            r#"{"count":1,"version":"1"}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_of_a_query_may_be_written_as_doubles() {
        let read =
            |text: &str| serde_urlencoded::from_str::<Parameters>(text).map(|it| it.limit).ok();
        assert_eq!(read("limit=5"), Some(Some(5)));
        assert_eq!(read("limit=5.0"), Some(Some(5)));
        assert_eq!(read(""), Some(None));
        for text in [
            "limit=",
            "limit=5.5",
            "limit=-1",
            "limit=inf",
            "limit=%2B5.0",
            "limit=%2B5",
            "limit=5e0",
            "limit=five",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
