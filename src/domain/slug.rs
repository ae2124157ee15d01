//! The ids of catalogue items.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of a generator or an upgrade: 1 to 64 characters of `[a-z0-9_]`, such as `wind_turbine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
// `Arc<Box<str>>` has the size of one pointer, `Arc<str>` that of two. This saves memory, because each player owns
// about a dozen slugs, and they share few different texts.
pub struct Slug(Arc<Box<str>>);

/// The largest number of slugs that a thread interns. Interning lets all players share the text of a slug. A catalogue
/// contains fewer items, but requests for unknown items add further slugs.
const MAX_INTERNED: usize = 1024;

thread_local! {
    static INTERNED: RefCell<HashSet<Slug>> = RefCell::default();
}

/// The longest slug, in characters.
pub const MAX_SLUG_LENGTH: usize = 64;

impl Slug {
    /// An id that no item has: the empty text, which is not a valid slug.
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
            Ok(intern(text))
        } else {
            Err("must be 1 to 64 characters of a-z, 0-9 and _")
        }
    }
}

/// The slug with this text, from the thread's interned slugs if possible. If there are too many, all are removed first.
fn intern(text: &str) -> Slug {
    INTERNED.with_borrow_mut(|interned| {
        if let Some(slug) = interned.get(text) {
            return slug.clone();
        }
        if interned.len() >= MAX_INTERNED {
            interned.clear();
        }
        let new = Slug(Arc::new(text.into()));
        interned.insert(new.clone());
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
    fn equal_slugs_share_their_text_and_the_number_of_interned_slugs_is_limited() {
        let slug = |text: &str| Slug::try_from(text).expect("a slug");
        assert!(Arc::ptr_eq(&slug("crank").0, &slug("crank").0));
        for number in 0..3 * MAX_INTERNED {
            assert_eq!(slug(&format!("item_{number}")).as_str(), format!("item_{number}"));
        }
        assert!(INTERNED.with_borrow(HashSet::len) <= MAX_INTERNED);
    }
}
