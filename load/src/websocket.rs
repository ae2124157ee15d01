//! A minimal client of a WebSocket: text frames without fragments, pings and close frames. It costs little memory and
//! processor time, because the load runs on the machine of the server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::http::Target;

/// Bytes that the kernel keeps for a socket that does not read.
const SMALL_BUFFER: u32 = 4096;

/// In the second byte of a frame: that it is masked, and that its length follows in 2 or 8 bytes.
const MASKED: u8 = 0x80;
const TWO_BYTES: u8 = 0x7e;
const EIGHT_BYTES: u8 = 0x7f;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    /// With its code; 0 without one.
    Close(u16),
}

/// A connection.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    /// What has arrived and is not read yet.
    buffer: Vec<u8>,
    read: usize,
}

impl WebSocket {
    /// Opens a socket from the address 127.0.0.1 + `source`. With `small`, the kernel keeps little that is not read.
    pub async fn open(
        target: &Target,
        path: &str,
        source: usize,
        small: bool,
    ) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let socket = TcpSocket::new_v4().map_err(text)?;
        if small {
            socket.set_recv_buffer_size(SMALL_BUFFER).map_err(text)?;
        }
        let source = u8::try_from(source + 1).map_err(|error| error.to_string())?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0))).map_err(text)?;
        let mut stream = socket.connect(target.address()).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: idlewatt.v1.json\r\n\r\n",
            target.host()
        );
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut buffer = Vec::new();
        loop {
            if stream.read_buf(&mut buffer).await.map_err(text)? == 0 {
                return Err("closed before the answer to the upgrade".into());
            }
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(&buffer).map_err(|error| error.to_string())?;
            let httparse::Status::Complete(length) = parsed else { continue };
            if response.code != Some(101) {
                return Err(format!("the upgrade is refused: {:?}", response.code));
            }
            return Ok(Self { stream, buffer, read: length });
        }
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) -> Result<(), String> {
        self.write(TEXT, text.as_bytes()).await
    }

    /// Answers a ping.
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), String> {
        self.write(PONG, payload).await
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        self.stream.write_all(&masked(opcode, payload)).await.map_err(|error| error.to_string())
    }

    /// The next frame. If the returned future is dropped, nothing is lost.
    pub async fn next(&mut self) -> Result<Frame, String> {
        loop {
            while let Some((opcode, start, end)) = parse(&self.buffer[self.read..]) {
                let payload = self.buffer[self.read + start..self.read + end].to_vec();
                self.read += end;
                match opcode {
                    TEXT => return Ok(Frame::Text(payload)),
                    PING => return Ok(Frame::Ping(payload)),
                    CLOSE => {
                        let code =
                            payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                        return Ok(Frame::Close(code));
                    }
                    _ => {}
                }
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            if self.buffer.is_empty() {
                // Thousands of idle sockets have no buffers.
                self.buffer = Vec::new();
                self.stream.readable().await.map_err(|error| error.to_string())?;
            }
            self.buffer.reserve(2048);
            if self.stream.read_buf(&mut self.buffer).await.map_err(|error| error.to_string())? == 0
            {
                return Err("closed without a close frame".into());
            }
        }
    }
}

/// A frame of a client. Its mask is 0, so masking does not change the payload.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | TWO_BYTES);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | EIGHT_BYTES);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The opcode of the first frame, and where its payload begins and ends; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (start, length): (usize, usize) = match *bytes.get(1)? & 0x7f {
        TWO_BYTES => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        EIGHT_BYTES => {
            (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    let end = start.checked_add(length)?;
    (bytes.len() >= end).then_some((bytes[0] & 0x0f, start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_parsed_once_they_are_complete() {
        for length in [0, 5, 125, 126, 300, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut frame = masked(TEXT, &payload);
            // As the server sends it: without the mask.
            let start = frame.len() - length;
            frame.drain(start - 4..start);
            frame[1] &= 0x7f;
            assert_eq!(parse(&frame), Some((TEXT, start - 4, frame.len())));
            assert_eq!(parse(&frame[..frame.len() - 1]), None);
        }
    }
}
