//! Rules for usernames, passwords and display names.

use std::fmt;

use crate::domain::text::{self, TextLimits, UnfitText};

/// The limits of a display name.
pub const DISPLAY_NAME: TextLimits = TextLimits { characters: 24, bytes: 256 };

/// The username in `text`: 3 to 24 characters of `[a-z0-9_]` after case folding.
///
/// # Errors
/// Returns the rule.
pub fn username(text: &str) -> Result<String, &'static str> {
    let folded = text.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (3..=24).contains(&folded.len()) && folded.bytes().all(plain) {
        Ok(folded)
    } else {
        Err("must be 3 to 24 characters of a-z, 0-9 and _")
    }
}

/// The display name in `text`.
///
/// # Errors
/// Returns why the text cannot be shown to other players.
pub fn display_name(text: &str) -> Result<String, UnfitText> {
    text::shown(text, DISPLAY_NAME)
}

/// A password in its composed form (NFC). Keyboards encode accents and Hangul syllables differently, so the form in
/// which it was typed may differ.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password {
    /// The form whose hash is stored.
    pub(super) composed: String,
    /// The typed form, if it differs.
    pub(super) typed: Option<String>,
}

impl Password {
    /// A new password: 8 to 128 characters (code points, composed).
    ///
    /// # Errors
    /// Returns the rule.
    pub fn new(text: String) -> Result<Self, &'static str> {
        let password = Self::claimed(text);
        let length = password.composed.chars().count();
        if is_long_enough(length) { Ok(password) } else { Err("must be 8 to 128 characters") }
    }

    /// A password that a client sent for verification. It is empty if neither form could be a valid password.
    pub fn claimed(text: String) -> Self {
        let composed = text::composed(&text);
        if composed == text {
            let is_possible = is_long_enough(text.chars().count());
            return Self { composed: if is_possible { text } else { String::new() }, typed: None };
        }
        // Earlier releases hashed the typed form and counted its characters.
        let is_possible =
            is_long_enough(composed.chars().count()) || is_long_enough(text.chars().count());
        if is_possible { Self { composed, typed: Some(text) } } else { Self::default() }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

fn is_long_enough(characters: usize) -> bool {
    (8..=128).contains(&characters)
}

/// A name for a guest who has not chosen one.
pub(super) fn guest_name() -> String {
    format!("Guest {:05}", rand::random_range(0..100_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_folded_and_checked() {
        assert_eq!(username("Ada_99").as_deref(), Ok("ada_99"));
        for bad in ["ab", "a b c", "ada-l", "ädä", "", "a\0b", &"a".repeat(25)] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_are_counted_in_composed_characters() {
        let fits = |text: &str| Password::new(text.into()).is_ok();
        assert!(fits("pässwörd"));
        assert!(fits("pa\u{308}sswo\u{308}rd"));
        assert!(!fits("pa\u{308}swo\u{308}rd"));
        assert!(!fits("short"));
        assert!(!fits(&"x".repeat(129)));
        assert!(fits(&"\u{200b}".repeat(8)), "only the length is checked");
    }

    #[test]
    fn composed_and_decomposed_passwords_are_equal() {
        let decomposed = Password::new("pa\u{308}sswo\u{308}rd".into()).expect("long enough");
        let composed = Password::new("pässwörd".into()).expect("long enough");
        assert_eq!(decomposed.composed, composed.composed);
        assert_eq!(decomposed.typed.as_deref(), Some("pa\u{308}sswo\u{308}rd"));
        assert_eq!(composed.typed, None);
    }

    #[test]
    fn a_password_that_is_long_enough_only_in_its_typed_form_can_still_be_verified() {
        let claimed = Password::claimed("o\u{308}o\u{308}o\u{308}o\u{308}".into());
        assert_eq!(claimed.typed.as_deref(), Some("o\u{308}o\u{308}o\u{308}o\u{308}"));
        assert_eq!(Password::claimed("short".into()), Password::default());
    }
}
