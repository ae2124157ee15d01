//! What may be a username, a password, a display name.

use crate::domain::MAX_DISPLAY_NAME_LENGTH;

/// Why a text is not acceptable.
pub type InvalidName = &'static str;

/// The username that a text means: 3 to 24 of `[a-z0-9_]` after case folding.
///
/// # Errors
/// What it must be.
pub fn username(text: &str) -> Result<String, InvalidName> {
    let folded = text.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (3..=24).contains(&folded.len()) && folded.bytes().all(plain) {
        Ok(folded)
    } else {
        Err("must be 3 to 24 characters of a-z, 0-9 and _")
    }
}

/// Checks a new password: 8 to 128 characters.
///
/// # Errors
/// What it must be.
pub fn password(text: &str) -> Result<(), InvalidName> {
    let acceptable = (8..=128).contains(&text.chars().count());
    acceptable.then_some(()).ok_or("must be 8 to 128 characters")
}

/// The display name that a text means: 1 to 24 characters without the space around them, none a control character.
///
/// # Errors
/// What it must be.
pub fn display_name(text: &str) -> Result<String, InvalidName> {
    // Line and paragraph separators and the marks that turn the direction of text would let a name break a page.
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let trimmed = text.trim();
    let length = trimmed.chars().count();
    if (1..=MAX_DISPLAY_NAME_LENGTH).contains(&length) && !trimmed.contains(unfit) {
        Ok(trimmed.to_owned())
    } else {
        Err("must be 1 to 24 characters of text, none of them a control character")
    }
}

/// A name for a guest who has not chosen one.
pub(super) fn guest_name() -> String {
    format!("Guest {:05}", rand::random_range(0..100_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_folded_and_plain() {
        assert_eq!(username("Ada_99").as_deref(), Ok("ada_99"));
        for bad in ["ab", "a b c", "ada-l", "ädä", "", "a\0b", &"a".repeat(25)] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn display_names_are_trimmed_text() {
        assert_eq!(display_name("  Ada Lovelace ").as_deref(), Ok("Ada Lovelace"));
        assert_eq!(display_name(&"가".repeat(24)).as_deref(), Ok("가".repeat(24).as_str()));
        for bad in ["", "   ", "a\nb", "a\0", "a\u{202e}b", &"a".repeat(25)] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_are_counted_in_characters() {
        assert!(password("pässwörd").is_ok());
        assert!(password("short").is_err());
        assert!(password(&"x".repeat(129)).is_err());
    }
}
