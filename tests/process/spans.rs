//! Decodes the spans of OTLP requests (Protocol Buffers), as far as the tests need them.

/// The fields of a span that the tests check. Ids are in hexadecimal.
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
    let resources = fields(request, 1);
    let scopes = resources.flat_map(|resource| fields(resource, 2));
    let spans = scopes.flat_map(|scope| fields(scope, 2));
    let first = |span, field| fields(span, field).next().unwrap_or_default();
    spans
        .map(|span| Span {
            trace: hex(first(span, 1)),
            id: hex(first(span, 2)),
            parent: hex(first(span, 4)),
            name: String::from_utf8(first(span, 5).to_vec()).expect("text"),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The contents of all fields with the number `wanted` in a Protocol Buffers message. The fields must be strings, bytes
/// or messages.
fn fields(mut message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        match key & 7 {
            0 => drop(varint(&mut message)),
            1 => message = &message[8..],
            2 => {
                let length = usize::try_from(varint(&mut message)).expect("a length");
                let (content, rest) = message.split_at(length);
                if key >> 3 == wanted {
                    found.push(content);
                }
                message = rest;
            }
            5 => message = &message[4..],
            other => panic!("unknown wire type: {other}"),
        }
    }
    found.into_iter()
}

/// Reads a varint (seven bits per byte, lowest first) and advances `message` behind it.
fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().expect("a complete number");
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
