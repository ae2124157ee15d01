//! Sockets: opening, following streams, the state, calls, limits, and the end of connections.

mod calls;
mod closing;
mod documented;
mod instances;
mod opening;
mod slow;
mod state;
mod streams;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Player, TestApp};

/// Longer than anything takes that does not wait for its time-out.
const SOON: Duration = Duration::from_secs(20);

/// A client of the socket, which is not ours, so that both ends are checked.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    is_packed: bool,
}

/// The answer to an upgrade that was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: Value,
    pub retry_after: Option<String>,
    pub request_id: Option<String>,
}

impl Socket {
    /// Opens a socket with JSON.
    pub async fn open(app: &TestApp) -> Self {
        Self::try_open(app, "idlewatt.v1.json", &[]).await.expect("opened")
    }

    /// Opens a socket with this protocol and these headers.
    pub async fn try_open(
        app: &TestApp,
        protocol: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Refused> {
        let address = app.client.origin().trim_start_matches("http://");
        let tcp = TcpStream::connect(address).await.expect("connected");
        let mut request =
            format!("ws://{address}/api/v1/live").into_client_request().expect("valid");
        let mut set = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        };
        if !protocol.is_empty() {
            set("sec-websocket-protocol", protocol);
        }
        for (name, value) in headers {
            set(name, value);
        }
        match client_async(request, tcp).await {
            Ok((stream, response)) => {
                let chosen = response.headers()["sec-websocket-protocol"].to_str().expect("text");
                assert!(protocol.contains(chosen));
                assert!(response.headers().contains_key("x-request-id"));
                Ok(Self { stream, is_packed: chosen == "idlewatt.v1.msgpack" })
            }
            Err(Error::Http(response)) => {
                let header = |name: &str| {
                    let value = response.headers().get(name)?;
                    Some(value.to_str().expect("text").to_owned())
                };
                let body = response.body().as_deref().unwrap_or_default();
                Err(Refused {
                    status: response.status().as_u16(),
                    body: serde_json::from_slice(body).unwrap_or_default(),
                    retry_after: header("retry-after"),
                    request_id: header("x-request-id"),
                })
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a socket and signs in.
    pub async fn of(app: &TestApp, player: &Player) -> Self {
        Self::with(app, player, json!({})).await
    }

    /// Opens a socket and signs in with further members of `hello`.
    pub async fn with(app: &TestApp, player: &Player, members: Value) -> Self {
        let mut socket = Self::open(app).await;
        socket.hello(player, members).await;
        socket
    }

    /// Signs in. Returns the welcome.
    pub async fn hello(&mut self, player: &Player, members: Value) -> Value {
        let mut hello = json!({"type": "hello", "token": player.token});
        let object = hello.as_object_mut().expect("an object");
        object.extend(members.as_object().expect("an object").clone());
        self.send(hello).await;
        self.expect("welcome").await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        let message = if self.is_packed {
            Message::Binary(rmp_serde::to_vec(&frame).expect("MessagePack").into())
        } else {
            Message::Text(frame.to_string().into())
        };
        self.send_message(message).await;
    }

    /// Sends a message as it is.
    pub async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.expect("sent");
    }

    /// The next message, other than pings, which the client has answered by the next call.
    pub async fn next_message(&mut self) -> Message {
        loop {
            let next = timeout(SOON, self.stream.next()).await.expect("soon");
            match next.expect("not ended").expect("a message") {
                Message::Ping(_) => {}
                other => return other,
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Value {
        let frame = match self.next_message().await {
            Message::Text(text) if !self.is_packed => serde_json::from_str(&text).expect("JSON"),
            Message::Binary(bytes) if self.is_packed => {
                rmp_serde::from_slice(&bytes).expect("MessagePack")
            }
            other => panic!("{other:?}"),
        };
        documented::check(&frame);
        frame
    }

    /// The next frame, which must be of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &'static str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await;
            assert_eq!(frame["type"], kind, "{frame}, expected at {caller}");
            frame
        }
    }

    /// The next problem with this code.
    pub async fn expect_problem(&mut self, code: &str) -> Value {
        let frame = self.expect("problem").await;
        assert_eq!(frame["problem"]["code"], code, "{frame}");
        frame
    }

    /// The code and the reason with which the server closes the connection; other frames are dropped.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next_message().await {
                let frame = frame.expect("a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// Follows streams, and returns the answers in order.
    pub async fn subscribe(&mut self, streams: Value) -> Vec<Value> {
        let count = streams.as_array().expect("a list").len();
        self.send(json!({"type": "subscribe", "id": 1, "streams": streams})).await;
        let mut answers = Vec::new();
        while answers.len() < count {
            let frame = self.next().await;
            assert_eq!(frame["id"], 1, "{frame}");
            answers.push(frame);
        }
        answers
    }

    /// The sequence of the next event, which must be of this stream.
    pub async fn sequence(&mut self, stream: &str) -> i64 {
        let frame = self.expect("event").await;
        assert_eq!(frame["event"]["stream"], stream, "{frame}");
        frame["event"]["sequence"].as_i64().expect("a number")
    }

    /// The sequences of the next `count` events of a stream.
    pub async fn sequences(&mut self, stream: &str, count: usize) -> Vec<i64> {
        let mut sequences = Vec::new();
        while sequences.len() < count {
            sequences.push(self.sequence(stream).await);
        }
        sequences
    }

    /// Calls the API. Returns the result; other frames must not come before it.
    pub async fn call(&mut self, method: &str, path: &str, body: Value) -> Value {
        self.send(json!({"type": "call", "id": 7, "method": method, "path": path, "body": body}))
            .await;
        let result = self.expect("result").await;
        assert_eq!(result["id"], 7);
        result
    }

    /// Nothing was sent before the answer to a ping.
    pub async fn expect_nothing(&mut self) {
        self.send_message(Message::Ping(vec![99].into())).await;
        assert_eq!(self.next_message().await, Message::Pong(vec![99].into()));
    }
}

/// Whether a text is the time of the test's clock.
pub fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && text.contains('T'))
}

/// Lets the clock of sockets and that of the game go on until something has happened.
pub async fn while_seconds_pass<T>(app: &TestApp, happens: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            app.advance(1.0);
            app.server.live.tick();
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        happened = happens => happened,
        () = passing => unreachable!("never ends"),
    }
}
