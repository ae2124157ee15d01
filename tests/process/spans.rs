//! Reads what is sent to a collector: binary OTLP, as far as the tests need it.

/// What the tests check of a span. Ids are hexadecimal digits.
#[derive(Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty if there is none.
    pub parent: String,
    pub name: String,
}

/// Every span of an `ExportTraceServiceRequest`.
pub fn spans(request: &[u8]) -> Vec<Span> {
    let resources = parts(request, 1);
    let scopes = resources.flat_map(|resource| parts(resource, 2));
    let spans = scopes.flat_map(|scope| parts(scope, 2));
    let text = |span, field| parts(span, field).next().unwrap_or_default();
    spans
        .map(|span| Span {
            trace: hex(text(span, 1)),
            id: hex(text(span, 2)),
            parent: hex(text(span, 4)),
            name: String::from_utf8(text(span, 5).to_vec()).expect("text"),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The contents of each field of that number in a message of Protocol Buffers, if it is text, bytes or a message.
fn parts(mut message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message);
        match key & 7 {
            0 => drop(number(&mut message)),
            1 => message = &message[8..],
            2 => {
                let length = usize::try_from(number(&mut message)).expect("a length");
                let (content, rest) = message.split_at(length);
                if key >> 3 == wanted {
                    found.push(content);
                }
                message = rest;
            }
            5 => message = &message[4..],
            other => panic!("no such kind of field: {other}"),
        }
    }
    found.into_iter()
}

/// Reads a number, seven bits in each byte, and moves on behind it.
fn number(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for place in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().expect("a whole number");
        *message = rest;
        number |= u64::from(byte & 0x7f) << place;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}
