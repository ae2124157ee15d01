//! The `.env` file: lines of `NAME=value`. Nothing in a value is substituted, so passwords need no escaping.
//!
//! - Blank lines and lines that begin with `#` are ignored. `export ` before a name is allowed.
//! - An unquoted value ends with its line or before ` #`. Surrounding spaces are removed.
//! - In single quotes every character stands for itself. In double quotes `\n`, `\"` and `\\` are a newline, a quote
//!   and a backslash. A quoted value may have several lines.

/// A syntax error in the file. It does not repeat the content, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line number, from 1.
    pub(super) line: usize,
    pub(super) message: &'static str,
}

/// The names and values of a file, in order.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Fault> {
    // Some editors write a byte order mark at the start of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut entries, mut rest, mut number) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = &rest[line.len()..];
        } else {
            let fault = |message| Fault { line: number, message };
            let (name, after) = line.split_once('=').ok_or_else(|| fault(FORM))?;
            let (name, blanks) = (name_of(name).ok_or_else(|| fault(FORM))?, blanks(after));
            let start = line.len() - after.len() + blanks;
            let (value, length) = value(&rest[start..]).map_err(fault)?;
            entries.push((name.to_owned(), value));
            number += rest[..start + length].matches('\n').count();
            rest = &rest[start + length..];
        }
        rest = match rest.strip_prefix('\n') {
            Some(next) => {
                number += 1;
                next
            }
            None => rest,
        };
    }
    Ok(entries)
}

const FORM: &str = "it does not have the form NAME=value";
const UNCLOSED: &str = "the value has an opening quote and no closing quote";
const AFTER_QUOTE: &str = "there is text after the closing quote of the value";

fn name_of(text: &str) -> Option<&str> {
    let name = text.trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    (!name.is_empty() && name.bytes().all(is_plain)).then_some(name)
}

/// The number of spaces and tabs at the start of a text.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// The value at the start of a text, and the length in bytes up to the end of the line on which the value ends.
fn value(text: &str) -> Result<(String, usize), &'static str> {
    let line = text.split('\n').next().unwrap_or_default();
    let Some(quote) = text.chars().next().filter(|first| ['\'', '"'].contains(first)) else {
        let mut comment = line.match_indices('#').map(|(at, _)| at);
        let is_comment = |&at: &usize| at == 0 || line[..at].ends_with([' ', '\t']);
        let end = comment.find(is_comment).unwrap_or(line.len());
        return Ok((line[..end].trim().to_owned(), line.len()));
    };
    let mut value = String::new();
    let mut inside = text[1..].char_indices();
    while let Some((at, character)) = inside.next() {
        match character {
            '\\' if quote == '"' => match inside.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => return Err(UNCLOSED),
            },
            character if character == quote => {
                let end = 1 + at + 1;
                let after = text[end..].split('\n').next().unwrap_or_default();
                let rest = after.trim();
                let is_comment = rest.starts_with('#') && after.starts_with([' ', '\t']);
                if !rest.is_empty() && !is_comment {
                    return Err(AFTER_QUOTE);
                }
                return Ok((value, end + after.len()));
            }
            character => value.push(character),
        }
    }
    Err(UNCLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_without_substitution() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            (" export  A = b c ", "b c"),
            ("A=pa$HOME${HOME}$1\\x", "pa$HOME${HOME}$1\\x"),
            ("A=b#c # no more", "b#c"),
            ("A=# empty", ""),
            ("A=b=c", "b=c"),
            ("A=b\r", "b"),
            ("A=it's", "it's"),
            ("A='b\\n $HOME # \"c\"'  # no more", "b\\n $HOME # \"c\""),
            ("A=\"b\\n\\\"c\\\\\\d $HOME '\"", "b\n\"c\\\\d $HOME '"),
            ("A=\"b\nc\"", "b\nc"),
            ("A='b'\r", "b"),
            ("A=\u{e9}\u{d55c}", "\u{e9}\u{d55c}"),
        ] {
            let expected = vec![("A".to_owned(), value.to_owned())];
            assert_eq!(parse(line), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn blank_lines_and_comments_are_ignored() {
        let text = "\u{feff}A=1\r\n\r\n# B=2\n  # C=3\n\nexport D='4\n5'\nE=6\n";
        let expected = [("A", "1"), ("D", "4\n5"), ("E", "6")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text), Ok(expected.to_vec()));
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("\n \n#"), Ok(Vec::new()));
    }

    #[test]
    fn a_fault_has_its_line_number_and_not_the_content() {
        for (text, line, message) in [
            ("hidden", 1, FORM),
            ("A=1\n\n# x\nhidden\nB=2", 4, FORM),
            ("A=1\n=hidden", 2, FORM),
            ("A=1\nhid den=2", 2, FORM),
            ("A='1\n2'\nB='hidden\n\n", 3, UNCLOSED),
            ("A=\"hidden\\\"", 1, UNCLOSED),
            ("A=\"hidden\\", 1, UNCLOSED),
            ("A='1\n2\n3'\nB=\"x\"hidden", 4, AFTER_QUOTE),
            ("A='x'#hidden", 1, AFTER_QUOTE),
        ] {
            assert_eq!(parse(text), Err(Fault { line, message }), "{text:?}");
        }
    }
}
