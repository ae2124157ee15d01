//! A minimal client for HTTP/1.1: persistent connections, and answers with `Content-Length`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time-out of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The address of the server.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    host: String,
}

impl Target {
    pub fn parse(base: &str) -> Result<Self, String> {
        let host = base.trim_end_matches('/').strip_prefix("http://");
        let host = host.filter(|host| !host.contains('/'));
        let host = host.ok_or_else(|| format!("{base} does not have the form http://host:port"))?;
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut addresses =
            with_port.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Self { address, host: host.to_owned() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of the header `Host`.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// A request. Empty fields are not sent.
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub token: &'a str,
    pub etag: Option<&'a str>,
    pub key: Option<String>,
    pub body: Option<&'a str>,
}

/// An answer of the server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

/// A connection. It is opened by the first request and reused until the server closes it.
#[derive(Debug, Default)]
pub struct Connection {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads its answer.
    ///
    /// If the server closed a reused connection without an answer, the request is repeated once on a new connection, as
    /// other HTTP clients do, because servers close idle connections.
    pub async fn send(&mut self, target: &Target, request: &Request<'_>) -> io::Result<Answer> {
        self.send_text(target, &render(target, request)).await
    }

    /// Like [`Connection::send`], for a rendered request.
    pub async fn send_text(&mut self, target: &Target, text: &str) -> io::Result<Answer> {
        let is_reused = self.stream.is_some();
        match self.attempt(target, text).await {
            Err(error) if is_reused && was_closed(&error) => self.attempt(target, text).await,
            result => result,
        }
    }

    async fn open(&mut self, target: &Target) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(target.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    async fn attempt(&mut self, target: &Target, text: &str) -> io::Result<Answer> {
        let result = timeout(TIMEOUT, self.exchange(target, text)).await;
        let result = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    async fn exchange(&mut self, target: &Target, text: &str) -> io::Result<Answer> {
        self.open(target).await?;
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        stream.write_all(text.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                // Only if nothing was received may the request be repeated.
                let kind = if self.buffer.is_empty() {
                    io::ErrorKind::ConnectionReset
                } else {
                    io::ErrorKind::UnexpectedEof
                };
                return Err(kind.into());
            }
            if let Some((answer, close)) = parse(&self.buffer)? {
                if close {
                    self.stream = None;
                }
                return Ok(answer);
            }
        }
    }
}

fn was_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// The text of a request.
pub fn render(target: &Target, request: &Request<'_>) -> String {
    let mut text =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.path, target.host);
    let mut header = |name: &str, value: &str| {
        if !value.is_empty() {
            text.extend([name, ": ", value, "\r\n"]);
        }
    };
    if !request.token.is_empty() {
        header("Authorization", &format!("Bearer {}", request.token));
    }
    header("If-None-Match", request.etag.unwrap_or_default());
    header("Idempotency-Key", request.key.as_deref().unwrap_or_default());
    if let Some(body) = request.body {
        header("Content-Type", "application/json");
        header("Content-Length", &body.len().to_string());
    }
    text.push_str("\r\n");
    text.push_str(request.body.unwrap_or_default());
    text
}

/// The answer, and whether the server closes the connection after it; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<(Answer, bool)>> {
    let invalid = |error: httparse::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(invalid)? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let find = |name: &str| {
        let header = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let bodiless = status == 204 || status == 304;
    let length =
        if bodiless { Some(0) } else { find("content-length").and_then(|it| it.parse().ok()) };
    let Some(length): Option<usize> = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no Content-Length"));
    };
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    let answer = Answer {
        status,
        etag: find("etag").map(str::to_owned),
        retry_after: find("retry-after").and_then(|it| it.parse().ok()),
        body: body.to_vec(),
    };
    let close = find("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    Ok(Some((answer, close)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_parsed_once_it_is_complete() {
        let complete =
            b"HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
        for length in 0..complete.len() {
            assert!(parse(&complete[..length]).expect("valid").is_none());
        }
        let (answer, close) = parse(complete).expect("valid").expect("complete");
        assert_eq!((answer.status, answer.etag.as_deref()), (200, Some("\"7\"")));
        assert_eq!(answer.body, b"body");
        assert!(close);
    }

    #[test]
    fn an_answer_without_a_body_needs_no_length() {
        let (answer, close) =
            parse(b"HTTP/1.1 304 Not Modified\r\n\r\n").expect("valid").expect("complete");
        assert_eq!(answer.status, 304);
        assert!(!close);
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_is_rendered_with_its_fields() {
        let target = Target::parse("http://127.0.0.1:8080/").expect("a valid address");
        let request = Request {
            method: "POST",
            path: "/x",
            token: "t",
            key: Some("k".into()),
            body: Some("{}"),
            ..Request::default()
        };
        assert_eq!(
            render(&target, &request),
            "POST /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\n\
            Idempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
        assert!(Target::parse("https://example").is_err());
    }
}
