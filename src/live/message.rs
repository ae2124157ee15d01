//! Messages of the WebSocket protocol (RFC 6455): reading those of a client, and writing those of the server.
//!
//! The frames themselves are parsed by `actix_http`. Here fragments are joined, texts are checked, and what is too long is
//! skipped without being stored, so that a client can make the server store no more than a message of
//! [`MAX_MESSAGE_BYTES`].

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use bytes::{Buf, Bytes, BytesMut};

/// The largest message of a client, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// A client that announces a longer message is disconnected.
const MAX_SKIPPED_BYTES: u64 = 1024 * 1024;
/// The largest payload of a frame that controls the connection.
const MAX_CONTROL_BYTES: u64 = 125;
/// The longest header of a frame.
const MAX_HEADER_BYTES: usize = 14;

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// A message of more than [`MAX_MESSAGE_BYTES`], which was skipped.
    TooLong,
    Ping(Bytes),
    Pong,
    Close(Option<u16>),
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A frame violates the protocol.
    Protocol,
    /// A text is not UTF-8.
    NotText,
    /// A message has more than a megabyte.
    TooLong,
}

impl Fault {
    /// The code of the close frame.
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotText => 1007,
            Self::TooLong => 1009,
        }
    }
}

/// Reads the messages of a client from the bytes that arrive.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// The message whose last fragment has not arrived yet.
    begun: Option<Box<Begun>>,
    /// Bytes of the present frame that are still to be skipped.
    skipped: u64,
}

/// A message in fragments.
#[derive(Debug)]
struct Begun {
    is_text: bool,
    payload: BytesMut,
    /// The length of all fragments.
    length: u64,
    /// Whether the fragment that is being skipped is the last one.
    is_last: bool,
}

impl Reader {
    /// Adds bytes that arrived.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message; `None` if it is not complete yet.
    ///
    /// # Errors
    /// Returns a [`Fault`] after which nothing more can be read.
    pub fn next(&mut self) -> Result<Option<Message>, Fault> {
        loop {
            if self.skipped > 0 {
                self.skip();
                if self.skipped > 0 {
                    return Ok(None);
                }
                if self.begun.as_ref().is_some_and(|begun| begun.is_last) {
                    self.begun = None;
                    return Ok(Some(Message::TooLong));
                }
                continue;
            }
            if let Some(header) = Header::peek(&self.buffer)
                && self.must_skip(&header)?
            {
                self.buffer.advance(header.length);
                self.skipped = header.payload;
                if header.payload == 0 {
                    // An empty last fragment of a message that is too long.
                    if self.begun.as_ref().is_some_and(|begun| begun.is_last) {
                        self.begun = None;
                        return Ok(Some(Message::TooLong));
                    }
                }
                continue;
            }
            let parsed = Parser::parse(&mut self.buffer, true, MAX_MESSAGE_BYTES);
            let Some((is_last, opcode, payload)) = parsed.map_err(|_| Fault::Protocol)? else {
                if self.buffer.is_empty() {
                    // Frees the memory of idle connections.
                    self.buffer = BytesMut::new();
                }
                return Ok(None);
            };
            if let Some(message) = self.take(is_last, opcode, payload.unwrap_or_default())? {
                return Ok(Some(message));
            }
        }
    }

    fn skip(&mut self) {
        let here = self.skipped.min(self.buffer.len() as u64);
        self.buffer.advance(usize::try_from(here).unwrap_or(self.buffer.len()));
        self.skipped -= here;
    }

    /// Whether a frame is not stored because its message is too long. Notes its length.
    fn must_skip(&mut self, header: &Header) -> Result<bool, Fault> {
        if !header.is_data() {
            let fits = header.payload <= MAX_CONTROL_BYTES;
            return if fits { Ok(false) } else { Err(Fault::Protocol) };
        }
        let before = self.begun.as_ref().map_or(0, |begun| begun.length);
        let length = before.saturating_add(header.payload);
        if length > MAX_SKIPPED_BYTES {
            return Err(Fault::TooLong);
        }
        if length <= MAX_MESSAGE_BYTES as u64 {
            return Ok(false);
        }
        if !header.is_valid() || header.is_continuation() != self.begun.is_some() {
            return Err(Fault::Protocol);
        }
        let begun = self.begun.get_or_insert_with(|| {
            Box::new(Begun { is_text: false, payload: BytesMut::new(), length: 0, is_last: false })
        });
        begun.payload = BytesMut::new();
        begun.length = length;
        begun.is_last = header.is_last();
        Ok(true)
    }

    /// Handles a frame. Returns the message that it completes.
    fn take(
        &mut self,
        is_last: bool,
        opcode: OpCode,
        payload: BytesMut,
    ) -> Result<Option<Message>, Fault> {
        let message = match opcode {
            OpCode::Ping if is_last => Message::Ping(payload.freeze()),
            OpCode::Pong if is_last => Message::Pong,
            OpCode::Close if is_last => {
                if payload.get(2..).is_some_and(|reason| str::from_utf8(reason).is_err()) {
                    return Err(Fault::NotText);
                }
                let reason = Parser::try_parse_close_payload(&payload);
                let reason = reason.map_err(|_| Fault::Protocol)?;
                Message::Close(reason.map(|reason| reason.code.into()))
            }
            OpCode::Text | OpCode::Binary => {
                if self.begun.is_some() {
                    return Err(Fault::Protocol);
                }
                let is_text = matches!(opcode, OpCode::Text);
                if !is_last {
                    let length = payload.len() as u64;
                    self.begun = Some(Box::new(Begun { is_text, payload, length, is_last }));
                    return Ok(None);
                }
                complete(is_text, payload)?
            }
            OpCode::Continue => {
                let Some(mut begun) = self.begun.take() else { return Err(Fault::Protocol) };
                begun.length += payload.len() as u64;
                begun.payload.extend_from_slice(&payload);
                if !is_last {
                    self.begun = Some(begun);
                    return Ok(None);
                }
                complete(begun.is_text, begun.payload)?
            }
            _ => return Err(Fault::Protocol),
        };
        Ok(Some(message))
    }
}

fn complete(is_text: bool, payload: BytesMut) -> Result<Message, Fault> {
    if !is_text {
        return Ok(Message::Binary(payload.freeze()));
    }
    match str::from_utf8(&payload) {
        Ok(_) => Ok(Message::Text(payload.freeze())),
        Err(_) => Err(Fault::NotText),
    }
}

/// The bits of the first byte that tell what a frame is.
const OPCODE: u8 = 0x0f;

/// The beginning of a frame.
#[derive(Debug)]
struct Header {
    first: u8,
    second: u8,
    /// The length of the header, with the mask of a client's frame.
    length: usize,
    /// The length of the payload.
    payload: u64,
}

impl Header {
    /// The header at the beginning of `bytes`; `None` if it is not complete.
    fn peek(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (extended, payload) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
            127 => (8, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            short => (0, u64::from(short)),
        };
        let length = 2 + extended + if second & 0x80 == 0 { 0 } else { 4 };
        (bytes.len() >= length).then_some(Self { first, second, length, payload })
    }

    fn is_last(&self) -> bool {
        self.first & 0x80 != 0
    }

    fn is_data(&self) -> bool {
        self.first & OPCODE <= 2
    }

    fn is_continuation(&self) -> bool {
        self.first & OPCODE == 0
    }

    /// Whether it is masked and has no reserved bit.
    fn is_valid(&self) -> bool {
        self.second & 0x80 != 0 && self.first & 0x70 == 0
    }
}

/// A frame of the server with a text.
pub fn text(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Text)
}

/// A frame of the server with bytes.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Binary)
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(payload, OpCode::Pong)
}

/// A ping without a payload.
pub fn ping() -> Bytes {
    frame(&[], OpCode::Ping)
}

/// A frame that closes the connection. `reason` has at most 123 bytes.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    let reason = code.map(|code| CloseReason {
        code: CloseCode::from(code),
        description: (!reason.is_empty()).then(|| reason.to_owned()),
    });
    Parser::write_close(&mut bytes, reason, false);
    bytes.freeze()
}

fn frame(payload: &[u8], opcode: OpCode) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + MAX_HEADER_BYTES);
    Parser::write_message(&mut bytes, payload, opcode, true, false);
    bytes.freeze()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
