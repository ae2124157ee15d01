//! Validates and compares texts that are displayed to other players, such as display names.
//!
//! Characters are counted as grapheme clusters (Unicode Standard Annex 29), which is how people count them: an emoji of
//! a family, a Hangul syllable composed of letters, and a letter with an accent are one character each.

use std::fmt;

use icu_properties::props::{
    BidiControl, BinaryProperty, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The largest number of consecutive combining marks. More would be drawn over the lines above and below the text, and
/// no language in use needs more.
const MAX_MARKS: usize = 4;
/// Characters that are drawn as blank space although Unicode classifies them as symbols: the blank Braille pattern and
/// the null notehead.
const BLANKS: [char; 2] = ['\u{2800}', '\u{1d159}'];
/// The black flag. Followed by tag characters it is the flag of a region. Elsewhere tag characters have no meaning.
const FLAG: char = '\u{1f3f4}';
/// The combining grapheme joiner, which is invisible.
const GRAPHEME_JOINER: char = '\u{34f}';
/// Tag characters, which are invisible.
const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007f}';
/// The delimiters of interlinear annotations, which are invisible.
const ANNOTATIONS: std::ops::RangeInclusive<char> = '\u{fff9}'..='\u{fffb}';

/// The limits of a text's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// The largest number of grapheme clusters. The smallest number is one.
    pub characters: usize,
    /// The largest number of bytes in UTF-8.
    pub bytes: usize,
}

/// Why a text is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfitText {
    /// It is empty or too long.
    Length(TextLimits),
    /// It contains a control character or a line separator.
    Control,
    /// It contains a character that changes the direction of the text around it.
    Direction,
    /// It contains an invisible character that has no effect on a visible one.
    Invisible,
    /// None of its characters is visible.
    Blank,
    /// It contains too many consecutive combining marks.
    Marks,
}

impl fmt::Display for UnfitText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(TextLimits { characters, bytes }) => {
                write!(f, "must be 1 to {characters} characters, and at most {bytes} bytes")
            }
            Self::Control => write!(f, "must not contain control characters or line breaks"),
            Self::Direction => {
                write!(f, "must not contain characters that change the direction of text")
            }
            Self::Invisible => write!(f, "must not contain invisible characters"),
            Self::Blank => write!(f, "must contain a visible character"),
            Self::Marks => {
                write!(f, "must not contain more than {MAX_MARKS} consecutive combining marks")
            }
        }
    }
}

/// The composed form (NFC), in which texts are stored.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// The form in which texts are compared ignoring case: case-folded by Unicode's language-independent rules, and
/// composed (NFC).
pub fn folded(text: &str) -> String {
    composed(&UniCase::unicode(composed(text)).to_folded_case())
}

/// Validates a text, and returns it as it is stored and displayed: composed (NFC), and without leading and trailing
/// white space.
///
/// # Errors
/// Returns why the text is rejected.
pub fn shown(text: &str, limits: TextLimits) -> Result<String, UnfitText> {
    validated(text, limits, is_control)
}

/// Like [`shown`], for a text of several lines, which are separated by line feeds.
///
/// # Errors
/// Returns why the text is rejected.
pub fn shown_lines(text: &str, limits: TextLimits) -> Result<String, UnfitText> {
    validated(text, limits, |c| c != '\n' && is_control(c))
}

fn validated(
    text: &str,
    limits: TextLimits,
    is_refused_control: fn(char) -> bool,
) -> Result<String, UnfitText> {
    // Composing and trimming hardly shorten a text, so a text that is much too long is rejected without that work.
    if text.len() > limits.bytes.saturating_mul(4) {
        return Err(UnfitText::Length(limits));
    }
    let text = composed(text);
    let text = text.trim();
    let length = text.graphemes(true).take(limits.characters + 1).count();
    if !(1..=limits.characters).contains(&length) || text.len() > limits.bytes {
        return Err(UnfitText::Length(limits));
    }
    let mut marks = 0;
    for c in text.chars() {
        if is_refused_control(c) {
            return Err(UnfitText::Control);
        }
        if is::<BidiControl>(c) {
            return Err(UnfitText::Direction);
        }
        // Marks that are separated only by invisible characters count as consecutive.
        marks = match GeneralCategoryGroup::Mark.contains(category(c)) {
            true => marks + 1,
            false if is_hidden(c) => marks,
            false => 0,
        };
        if marks > MAX_MARKS {
            return Err(UnfitText::Marks);
        }
    }
    let mut is_visible = false;
    for grapheme in text.graphemes(true) {
        if grapheme.chars().any(is_visible_base) {
            is_visible = true;
            if has_hidden_padding(grapheme) {
                return Err(UnfitText::Invisible);
            }
        } else if grapheme.chars().any(is_hidden) {
            return Err(UnfitText::Invisible);
        }
    }
    is_visible.then(|| text.to_owned()).ok_or(UnfitText::Blank)
}

/// Formats a number for messages to users. Very large and very small numbers are written with an exponent.
pub fn number(number: f64) -> String {
    let is_short = number == 0.0 || (1e-6..1e15).contains(&number.abs());
    if is_short { format!("{number}") } else { format!("{number:e}") }
}

fn is<P: BinaryProperty>(c: char) -> bool {
    CodePointSetData::new::<P>().contains(c)
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn is_control(c: char) -> bool {
    use GeneralCategory::{Control, LineSeparator, ParagraphSeparator};
    matches!(category(c), Control | LineSeparator | ParagraphSeparator)
}

/// Whether a character is invisible.
fn is_hidden(c: char) -> bool {
    is::<DefaultIgnorableCodePoint>(c) || ANNOTATIONS.contains(&c)
}

/// Whether a character is visible without another one: not a combining mark, a blank, or an unassigned code point.
fn is_visible_base(c: char) -> bool {
    use GeneralCategory::{PrivateUse, Unassigned};
    let category = category(c);
    let is_mark = GeneralCategoryGroup::Mark.contains(category);
    let is_known = !matches!(category, PrivateUse | Unassigned);
    is_known && !is_hidden(c) && !is_mark && !c.is_whitespace() && !BLANKS.contains(&c)
}

/// Whether a visible grapheme contains invisible characters that have no effect there: tag characters that do not
/// belong to a flag, or the combining grapheme joiner. With such characters a name could look exactly like another one.
fn has_hidden_padding(grapheme: &str) -> bool {
    let is_flag = grapheme.starts_with(FLAG);
    grapheme.contains(GRAPHEME_JOINER) || (!is_flag && grapheme.contains(|c| TAGS.contains(&c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TextLimits = TextLimits { characters: 24, bytes: 256 };

    fn is_shown(text: &str) -> bool {
        shown(text, LIMITS).is_ok()
    }

    #[test]
    fn characters_are_counted_as_grapheme_clusters() {
        let family = "👨‍👩‍👧‍👦";
        for (unit, most) in [("a", 24), ("가", 24), ("각", 24), ("é", 24), ("🇰🇷", 24), ("👍🏽", 24)]
        {
            assert!(is_shown(&unit.repeat(most)), "{unit}");
            assert!(!is_shown(&unit.repeat(most + 1)), "{unit}");
        }
        // 25 bytes each; ten of them are 250 bytes.
        assert!(is_shown(&family.repeat(10)));
        assert_eq!(shown(&family.repeat(11), LIMITS), Err(UnfitText::Length(LIMITS)));
        assert!(is_shown("🏴󠁧󠁢󠁥󠁮󠁧󠁿"));
        assert!(!is_shown(""));
        assert!(!is_shown("   "));
    }

    #[test]
    fn a_text_is_trimmed_and_composed() {
        assert_eq!(shown("  Ada Lovelace ", LIMITS).as_deref(), Ok("Ada Lovelace"));
        assert_eq!(shown("e\u{301}lodie", LIMITS).as_deref(), Ok("élodie"));
        assert_eq!(shown("\u{1112}\u{1161}\u{11ab}", LIMITS).as_deref(), Ok("한"));
        assert_eq!(shown("\u{3000}a\u{2000}", LIMITS).as_deref(), Ok("a"));
    }

    #[test]
    fn invisible_and_blank_texts_are_rejected() {
        for hidden in [
            '\u{200b}',
            '\u{3164}',
            '\u{ad}',
            '\u{2060}',
            '\u{fe0f}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{17b5}',
            '\u{180e}',
            '\u{e0001}',
            '\u{feff}',
            '\u{fff9}',
            '\u{200d}',
            '\u{200c}',
        ] {
            assert!(!is_shown(&hidden.to_string()), "{hidden:?}");
            assert!(!is_shown(&format!("{hidden} {hidden}")), "{hidden:?}");
            assert!(!is_shown(&format!(" {hidden}a")), "{hidden:?} before a letter");
        }
        for blank in ["\u{2800}", "\u{1d159}", "\u{e000}", "\u{ffff}", "\u{2800}\u{1d159}"] {
            assert_eq!(shown(blank, LIMITS), Err(UnfitText::Blank), "{blank:?}");
        }
        for copy in ["Ada\u{34f}", "Ada\u{e0041}", "A\u{34f}da"] {
            assert_eq!(shown(copy, LIMITS), Err(UnfitText::Invisible), "{copy:?}");
        }
        assert_eq!(shown("\u{301}", LIMITS), Err(UnfitText::Blank));
        assert_eq!(shown("a\u{200b}b", LIMITS), Err(UnfitText::Invisible));
        // In these visible graphemes the invisible characters have an effect.
        for text in ["❤️", "क्\u{200d}ष", "نمی\u{200c}خواهم", "👩‍🚀", "\u{115f}\u{1161}"]
        {
            assert!(is_shown(text), "{text}");
        }
    }

    #[test]
    fn direction_and_control_characters_are_rejected() {
        let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for c in bidi.chars() {
            assert_eq!(shown(&format!("a{c}b"), LIMITS), Err(UnfitText::Direction), "{c:?}");
        }
        for c in "\0\n\r\t\u{7f}\u{85}\u{9f}\u{2028}\u{2029}".chars() {
            assert_eq!(shown(&format!("a{c}b"), LIMITS), Err(UnfitText::Control), "{c:?}");
        }
        assert!(is_shown("שלום"));
    }

    #[test]
    fn a_text_of_several_lines_may_contain_line_feeds_only() {
        let lines = |text: &str| shown_lines(text, TextLimits { characters: 100, bytes: 400 });
        assert_eq!(lines(" one\n\ntwo\n").as_deref(), Ok("one\n\ntwo"));
        for other in ["\r\n", "\r", "\t", "\u{2028}", "\u{85}"] {
            let text = format!("one{other}two");
            assert_eq!(lines(&text), Err(UnfitText::Control), "{other:?}");
        }
        assert!(lines("\n\n").is_err());
    }

    #[test]
    fn too_many_consecutive_marks_are_rejected() {
        // The first mark is composed with its letter and does not count.
        assert!(is_shown(&format!("a{}", "\u{300}".repeat(5))));
        assert_eq!(shown(&format!("a{}", "\u{300}".repeat(6)), LIMITS), Err(UnfitText::Marks));
        for joiner in ["\u{200d}", "\u{200c}", "\u{fe0f}"] {
            let text = format!("a{}", format!("{}{joiner}", "\u{316}".repeat(4)).repeat(3));
            assert_eq!(shown(&text, LIMITS), Err(UnfitText::Marks), "{joiner:?}");
        }
        assert!(is_shown("ก็ต้ม"));
        assert!(is_shown("ਸ਼੍ਰੀ"));
    }

    #[test]
    fn numbers_are_formatted_briefly() {
        let formatted = [0.0, 15.0, 0.25, 1e-6, 1e-320, 1e14, 1e300, -1e300].map(number);
        assert_eq!(
            formatted,
            ["0", "15", "0.25", "0.000001", "1e-320", "100000000000000", "1e300", "-1e300"]
        );
    }

    #[test]
    fn case_is_folded_by_the_rules_of_unicode() {
        assert_eq!(folded("ЖЕНЯ"), folded("женя"));
        assert_eq!(folded("ÉLODIE"), folded("e\u{301}lodie"));
        assert_eq!(folded("INFINITE_I"), folded("infinite_i"));
        assert_eq!(folded("STRASSE"), folded("straße"));
        assert_eq!(folded("ΟΔΥΣΣΕΥΣ"), folded("οδυσσευς"));
        assert_ne!(folded("a"), folded("b"));
    }
}
