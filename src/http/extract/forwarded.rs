//! Parser of the header `Forwarded` (RFC 7239): a list of elements, each of which consists of name-value pairs
//! separated by semicolons. A value may be a quoted string. In it, commas and semicolons are literal and a backslash
//! escapes the next byte.

use std::borrow::Cow;

/// The value of the parameter `for` of each element of a line; `None` for a malformed element and for one without
/// `for`. Empty elements are skipped. Returns `None` if a quoted string is not terminated, because then it is unknown
/// which commas separate elements.
pub(super) fn nodes(line: &str) -> Option<Vec<Option<Cow<'_, str>>>> {
    let elements = separated(line, b',')?;
    let elements = elements.into_iter().map(trimmed).filter(|element| !element.is_empty());
    Some(elements.map(node).collect())
}

/// Splits a text at the separators that are outside quoted strings.
fn separated(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// The value of `for`. Returns `None` if any part of the element is malformed or a parameter is repeated: then a client
/// may have written a part of the element.
fn node(element: &str) -> Option<Cow<'_, str>> {
    let (mut names, mut found) = (Vec::<&str>::new(), None);
    for pair in separated(element, b';')?.into_iter().map(trimmed).filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (trimmed(name), unquoted(trimmed(value))?);
        if !is_token(name) || names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        names.push(name);
        if name.eq_ignore_ascii_case("for") {
            found = Some(value);
        }
    }
    found
}

/// The value without quotes, if it is a valid quoted string or token. Colons and brackets are accepted in a token,
/// because some proxies write addresses without the quotes that the standard requires.
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = value.strip_prefix('"') else {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,;=".contains(&byte);
        return (!value.is_empty() && value.bytes().all(is_plain)).then_some(value.into());
    };
    let mut unescaped = String::with_capacity(rest.len());
    let mut rest = rest.chars();
    loop {
        match rest.next()? {
            // Nothing may follow the closing quote.
            '"' => return rest.next().is_none().then_some(unescaped.into()),
            '\\' => unescaped.push(rest.next()?),
            other => unescaped.push(other),
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

/// The text without surrounding spaces and tabs.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Vec<String>> {
        let nodes = nodes(line)?.into_iter();
        Some(nodes.map(|node| node.map_or("none".to_owned(), Cow::into_owned)).collect())
    }

    #[test]
    fn lists_elements_and_pairs_are_distinguished() {
        for (line, expected) in [
            ("for=a", &["a"][..]),
            ("for=a, for=\"b,c\" ,by=x;for=d", &["a", "b,c", "d"]),
            ("for=\"a\\\"b\\\\\";x=\"\\\\\", for=c", &["a\"b\\", "c"]),
            ("by=x, ,for=\"\"", &["none", ""]),
            ("\\, for=a", &["none", "a"]),
            ("", &[]),
        ] {
            assert_eq!(read(line).expect("a list"), expected, "{line}");
        }
    }

    #[test]
    fn a_line_with_an_unterminated_string_is_rejected() {
        for line in ["\"", "for=a, x=\"", "for=\"a\\\"", "x=\"a\\"] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
