//! The names of catalogue items.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a generator or an upgrade: 1 to 64 characters of `[a-z0-9_]`, such as `wind_turbine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
// One word instead of the two of `Arc<str>`: each player owns a dozen slugs, and there are few different texts.
pub struct Slug(Arc<Box<str>>);

/// The number of names that a thread interns, so that one name of 100,000 players is one text. A catalogue has fewer
/// items. Requests for unknown items would add further names.
const MOST_REMEMBERED: usize = 1024;

thread_local! {
    static REMEMBERED: RefCell<HashSet<Slug>> = RefCell::default();
}

/// The longest slug, in characters.
pub const MAX_SLUG_LENGTH: usize = 64;

impl Slug {
    /// A name that no item has, because a valid name is not empty.
    pub fn unknown() -> Self {
        Self(Arc::new("".into()))
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
            Ok(remembered(text))
        } else {
            Err("must be 1 to 64 characters of a-z, 0-9 and _")
        }
    }
}

fn remembered(text: &str) -> Slug {
    REMEMBERED.with_borrow_mut(|known| {
        if let Some(known) = known.get(text) {
            return known.clone();
        }
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        let new = Slug(Arc::new(text.into()));
        known.insert(new.clone());
        new
    })
}

impl Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        self.as_str()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_text_and_a_crowd_of_names_is_forgotten() {
        let slug = |text: &str| Slug::try_from(text).expect("a slug");
        assert!(Arc::ptr_eq(&slug("crank").0, &slug("crank").0));
        for number in 0..3 * MOST_REMEMBERED {
            assert_eq!(slug(&format!("item_{number}")).as_str(), format!("item_{number}"));
        }
        assert!(REMEMBERED.with_borrow(HashSet::len) <= MOST_REMEMBERED);
    }
}
