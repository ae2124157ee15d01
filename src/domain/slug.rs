//! The names of catalogue items.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a generator or an upgrade: 1 to 64 characters of `[a-z0-9_]`, such as `wind_turbine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Slug(Arc<str>);

/// The longest slug, in characters.
pub const MAX_SLUG_LENGTH: usize = 64;

impl Slug {
    /// A name that no item has, as none can be empty.
    pub fn unknown() -> Self {
        Self("".into())
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Slug {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        let fits = (1..=MAX_SLUG_LENGTH).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err("must be 1 to 64 characters of a-z, 0-9 and _")
        }
    }
}

impl TryFrom<String> for Slug {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::try_from(text.as_str())
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
