//! The cases of the Autobahn test suite (version 0.8.2 of its public list of cases) for servers without compression, by
//! their numbers. Its performance cases (9) are covered by a benchmark.

use super::*;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The bit that marks the last fragment.
const LAST: u8 = 0x80;

/// A masked frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).expect("short")),
        length @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(length).expect("a short number").to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(LAST | opcode, payload)
}

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    whole(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// What a server that echoes messages and answers pings would send for `bytes`, which arrive in pieces of `size`.
fn echoed(bytes: &[u8], size: usize) -> (Vec<Message>, Option<Fault>) {
    let (mut reader, mut messages) = (Reader::default(), Vec::new());
    for piece in bytes.chunks(size) {
        reader.add(piece);
        loop {
            match reader.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}

/// Checks a case with all bytes at once, and with bytes that arrive one by one and in odd pieces.
fn check(case: &str, frames: &[Vec<u8>], messages: &[Message], fault: Option<Fault>) {
    let bytes = frames.concat();
    for size in [usize::MAX, 1, 7, 997] {
        let expected = (messages.to_vec(), fault);
        assert!(echoed(&bytes, size) == expected, "case {case}, in pieces of {size} bytes");
    }
}

fn text_of(payload: &[u8]) -> Message {
    Message::Text(Bytes::copy_from_slice(payload))
}

fn binary_of(payload: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(payload))
}

fn ping_of(payload: &[u8]) -> Message {
    Message::Ping(Bytes::copy_from_slice(payload))
}

#[test]
fn messages_of_all_lengths_arrive_whole() {
    // The suite goes up to 65,536 bytes; this protocol up to 16 KiB.
    for length in [0, 125, 126, 127, 128, 1_000, MAX_MESSAGE_BYTES] {
        let payload = vec![b'*'; length];
        check("1.1", &[whole(TEXT, &payload)], &[text_of(&payload)], None);
        let payload = vec![0xfe; length];
        check("1.2", &[whole(BINARY, &payload)], &[binary_of(&payload)], None);
    }
}

#[test]
fn pings_are_answered_and_pongs_ignored() {
    check("2.1", &[whole(PING, b"")], &[ping_of(b"")], None);
    check("2.2", &[whole(PING, b"Hello, world!")], &[ping_of(b"Hello, world!")], None);
    let bytes = [0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff];
    check("2.3", &[whole(PING, &bytes)], &[ping_of(&bytes)], None);
    check("2.4", &[whole(PING, &[0xfe; 125])], &[ping_of(&[0xfe; 125])], None);
    check("2.5", &[whole(PING, &[0xfe; 126])], &[], Some(Fault::Protocol));
    // 2.6 is 2.4 byte by byte.
    check("2.7", &[whole(PONG, b"")], &[Message::Pong], None);
    check("2.8", &[whole(PONG, b"unsolicited")], &[Message::Pong], None);
    let frames = [whole(PONG, b"unsolicited"), whole(PING, b"payload")];
    check("2.9", &frames, &[Message::Pong, ping_of(b"payload")], None);
    let many: Vec<_> = (0..10_u8).map(|number| vec![number; 3]).collect();
    let frames: Vec<_> = many.iter().map(|payload| whole(PING, payload)).collect();
    let answers: Vec<_> = many.iter().map(|payload| ping_of(payload)).collect();
    check("2.10, 2.11", &frames, &answers, None);
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bits in 1..=7 {
        for opcode in [TEXT, BINARY, PING, CLOSE, CONTINUATION] {
            let reserved = frame(LAST | (bits << 4) | opcode, b"Hello");
            let frames = [whole(TEXT, b"first"), reserved, whole(PING, b"")];
            check("3", &frames, &[text_of(b"first")], Some(Fault::Protocol));
        }
    }
    for opcode in (3..=7).chain(11..=15) {
        for payload in [&b""[..], b"reserved"] {
            let frames = [whole(TEXT, b"first"), whole(opcode, payload), whole(PING, b"")];
            check("4", &frames, &[text_of(b"first")], Some(Fault::Protocol));
        }
    }
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_between() {
    check("5.1", &[frame(PING, b"a"), frame(LAST, b"b")], &[], Some(Fault::Protocol));
    check("5.2", &[frame(PONG, b"a"), frame(LAST, b"b")], &[], Some(Fault::Protocol));
    let parts = [frame(TEXT, b"frag"), frame(LAST, b"ment")];
    check("5.3 to 5.5", &parts, &[text_of(b"fragment")], None);
    let parts = [frame(TEXT, b"frag"), whole(PING, b"ping"), frame(LAST, b"ment")];
    check("5.6 to 5.8", &parts, &[ping_of(b"ping"), text_of(b"fragment")], None);
    for first in [LAST | CONTINUATION, CONTINUATION] {
        let frames = [frame(first, b"nothing"), whole(TEXT, b"Hello")];
        check("5.9 to 5.14", &frames, &[], Some(Fault::Protocol));
    }
    let frames =
        [frame(TEXT, b"one"), frame(LAST, b"two"), frame(CONTINUATION, b"x"), whole(TEXT, b"y")];
    check("5.15 to 5.17", &frames, &[text_of(b"onetwo")], Some(Fault::Protocol));
    check("5.18", &[frame(TEXT, b"one"), whole(TEXT, b"two")], &[], Some(Fault::Protocol));
    let frames = [
        frame(TEXT, b"1"),
        frame(CONTINUATION, b"2"),
        whole(PING, b"A"),
        frame(CONTINUATION, b"3"),
        frame(CONTINUATION, b"4"),
        whole(PING, b"B"),
        frame(LAST, b"5"),
    ];
    let messages = [ping_of(b"A"), ping_of(b"B"), text_of(b"12345")];
    check("5.19, 5.20", &frames, &messages, None);
    let frames = [frame(BINARY, &[0xfe]), frame(CONTINUATION, &[]), frame(LAST, &[0xff])];
    check("binary fragments", &frames, &[binary_of(&[0xfe, 0xff])], None);
}

#[test]
fn texts_are_utf_8() {
    for empty in [&[whole(TEXT, b"")][..], &[frame(TEXT, b""), frame(0, b""), frame(LAST, b"")]] {
        check("6.1", empty, &[text_of(b"")], None);
    }
    let text = "Hello-µ@ßöäüàá-UTF-8!!";
    for split in 1..text.len() {
        let (first, last) = text.as_bytes().split_at(split);
        let parts = [frame(TEXT, first), frame(LAST, last)];
        check("6.2", &parts, &[text_of(text.as_bytes())], None);
    }
    let invalid: [&[u8]; 25] = [
        // 6.3, 6.4: a surrogate, and a code beyond the last one.
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
        // 6.6: texts that end within a letter.
        b"\xce",
        b"\xce\xba\xe1",
        b"\xce\xba\xe1\xbd",
        // 6.8: letters of five and six bytes.
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        // 6.10.
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
        // 6.11.5: beyond the last code.
        b"\xf4\x90\x80\x80",
        // 6.12: continuation bytes alone.
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80\xbf",
        // 6.13: first bytes alone.
        b"\xc0 \xc1 \xdf ",
        b"\xe0 \xef ",
        b"\xf0 \xf7 ",
        // 6.14: a missing last byte.
        b"\xe0\x80",
        b"\xf7\xbf\xbf",
        // 6.16: impossible bytes.
        b"\xfe\xff",
        // 6.17 to 6.19: overlong forms.
        b"\xc0\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\x80",
        // 6.20, 6.21: surrogates.
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf\xed\xbf\xbf",
    ];
    for payload in invalid {
        check("6", &[whole(TEXT, payload), whole(PING, b"")], &[], Some(Fault::NotText));
        check("6, binary", &[whole(BINARY, payload)], &[binary_of(payload)], None);
        let parts = [frame(TEXT, payload), frame(LAST, b"")];
        check("6, in fragments", &parts, &[], Some(Fault::NotText));
    }
    for valid in [
        // 6.5, 6.7, 6.9, 6.11: the first and last codes of each length.
        "κόσμε",
        "\0",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        // 6.22, 6.23: codes that are no letters.
        "\u{fffe}",
        "\u{1fffe}",
        "\u{10fffe}",
    ] {
        check("6", &[whole(TEXT, valid.as_bytes())], &[text_of(valid.as_bytes())], None);
    }
}

#[test]
fn close_frames_are_checked() {
    let closed = |code| [Message::Close(code)];
    check(
        "7.1.1",
        &[whole(TEXT, b"Hello"), whole(CLOSE, b"")],
        &[text_of(b"Hello"), Message::Close(None)],
        None,
    );
    check("7.3.1", &[whole(CLOSE, b"")], &closed(None), None);
    check("7.3.2", &[whole(CLOSE, b"a")], &[], Some(Fault::Protocol));
    check("7.3.3", &[closing(1000, b"")], &closed(Some(1000)), None);
    check("7.3.4", &[closing(1000, b"Hello")], &closed(Some(1000)), None);
    check("7.3.5", &[closing(1000, &[b'*'; 123])], &closed(Some(1000)), None);
    check("7.3.6", &[closing(1000, &[b'*'; 124])], &[], Some(Fault::Protocol));
    let reason = b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited";
    check("7.5.1", &[closing(1000, reason)], &[], Some(Fault::NotText));
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        check("7.7", &[closing(code, b"")], &closed(Some(code)), None);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        check("7.9, 7.13", &[closing(code, b"")], &[], Some(Fault::Protocol));
    }
}

#[test]
fn frames_of_clients_are_masked() {
    for frame in [[0x81, 1, b'a'], [0x82, 1, b'a'], [0x89, 1, b'a'], [0x88, 0, 0]] {
        check("unmasked", &[frame.to_vec()], &[], Some(Fault::Protocol));
    }
    // A length with its highest bit set.
    let mut bytes = vec![0x81, 0xff];
    bytes.extend([0xff; 8]);
    bytes.extend([0; 4]);
    let (messages, fault) = echoed(&bytes, usize::MAX);
    assert!(messages.is_empty() && fault.is_some());
}

#[test]
fn messages_that_are_too_long_are_skipped_and_not_stored() {
    let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
    let frames = [whole(TEXT, &long), whole(TEXT, b"next")];
    check("too long", &frames, &[Message::TooLong, text_of(b"next")], None);
    // In fragments: the second one is too much, and a ping comes between.
    let half = vec![b'x'; MAX_MESSAGE_BYTES / 2 + 1];
    let frames = [
        frame(TEXT, &half),
        frame(CONTINUATION, &half),
        whole(PING, b"p"),
        frame(CONTINUATION, b"more"),
        frame(LAST, b""),
        whole(TEXT, b"next"),
    ];
    check("too long", &frames, &[ping_of(b"p"), Message::TooLong, text_of(b"next")], None);
    // What a frame within it violates is found as well.
    let frames = [frame(TEXT, &long), whole(TEXT, &long)];
    check("too long", &frames, &[], Some(Fault::Protocol));
    let mut reader = Reader::default();
    let frame = whole(BINARY, &vec![0; 1024 * 1024]);
    let mut most = 0;
    for piece in frame.chunks(4096) {
        reader.add(piece);
        while reader.next().expect("no fault").is_some() {}
        most = most.max(reader.buffer.len());
    }
    assert!(most < MAX_MESSAGE_BYTES, "{most} bytes were stored");
    assert!(reader.buffer.is_empty() && reader.skipped == 0 && reader.begun.is_none());
    let megabyte = vec![0; 1024 * 1024 + 1];
    check("over a megabyte", &[whole(BINARY, &megabyte)], &[], Some(Fault::TooLong));
    let parts = [frame_of(BINARY, 700 * 1024), frame_of(LAST, 700 * 1024)];
    check("over a megabyte", &parts, &[], Some(Fault::TooLong));
}

fn frame_of(first: u8, length: usize) -> Vec<u8> {
    frame(first, &vec![0; length])
}

#[test]
fn nothing_is_kept_for_an_idle_connection() {
    let mut reader = Reader::default();
    reader.add(&whole(TEXT, &[b'x'; 1000]));
    assert!(matches!(reader.next(), Ok(Some(Message::Text(_)))));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.buffer.capacity(), 0);
}

#[test]
fn frames_of_the_server_have_the_shortest_header_and_no_mask() {
    assert_eq!(&text(b"Hello")[..], b"\x81\x05Hello");
    assert_eq!(&binary(&[7; 126])[..4], [0x82, 126, 0, 126]);
    assert_eq!(&text(&vec![b'x'; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&ping()[..], [0x89, 0]);
    assert_eq!(&pong(b"p")[..], b"\x8a\x01p");
    assert_eq!(&close(Some(4000), "draining")[..], b"\x88\x0a\x0f\xa0draining");
    assert_eq!(&close(None, "")[..], [0x88, 0]);
}
