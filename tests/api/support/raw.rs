//! Requests that are written byte by byte, which normal clients refuse to send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::client::{Client, Reply};

const PATIENCE: Duration = Duration::from_secs(15);

impl Client {
    /// Sends these bytes on a new connection and reads one answer.
    pub async fn send_raw(&self, request: impl Into<Vec<u8>>) -> Reply {
        self.send_raw_often(request, 1).await.pop().expect("one answer")
    }

    /// Sends these bytes so often on one connection, each time after the previous answer.
    pub async fn send_raw_often(&self, request: impl Into<Vec<u8>>, times: usize) -> Vec<Reply> {
        let request = request.into();
        let url = self.request("GET", "/").build().expect("a request").url().clone();
        let addresses = url.socket_addrs(|| None).expect("an address");
        let exchange = move || {
            let mut stream = TcpStream::connect(&addresses[..]).expect("connected");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let send = |_| {
                // A server may answer and close before it has read everything.
                stream.write_all(&request).ok();
                read(&mut stream)
            };
            (0..times).map(send).collect()
        };
        tokio::task::spawn_blocking(exchange).await.expect("answers")
    }
}

fn read(stream: &mut TcpStream) -> Reply {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let mut more = |bytes: &mut Vec<u8>| {
        let length = stream.read(&mut chunk).expect("an answer in time");
        assert!(length > 0, "cut off after {:?}", String::from_utf8_lossy(bytes));
        bytes.extend_from_slice(&chunk[..length]);
    };
    let head_length = loop {
        match bytes.windows(END.len()).position(|window| window == END) {
            Some(position) => break position,
            None => more(&mut bytes),
        }
    };
    let head = String::from_utf8(bytes[..head_length].to_vec()).expect("text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }
    let length = headers.get("content-length").map_or("0", |value| value.to_str().expect("text"));
    let body_start = head_length + END.len();
    let end = body_start + length.parse::<usize>().expect("a number");
    while bytes.len() < end {
        more(&mut bytes);
    }
    let text = String::from_utf8(bytes[body_start..end].to_vec()).expect("text");
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status: status.expect("a status line"), headers, text, json }
}
