//! The frames of the protocol: what clients send, and what the server sends, in JSON or `MessagePack`.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::message;
use crate::api::problem::Problem;

/// The names of the protocol in the header `Sec-WebSocket-Protocol`.
const JSON: &str = "idlewatt.v1.json";
const MESSAGE_PACK: &str = "idlewatt.v1.msgpack";
/// The largest number in an `id`: up to here all languages have exact integers.
const MOST_ID: u64 = (1 << 53) - 1;

/// The deepest nesting in a frame. Each level takes stack.
const MAX_DEPTH: usize = 64;

/// The frames as an `AsyncAPI` 3 document, without the schemas that the HTTP API's document has: of events, states and
/// problems.
pub const DOCUMENT: &str = include_str!("asyncapi.json");

/// How frames are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Text frames with JSON.
    Json,
    /// Binary frames with `MessagePack`: maps with the same keys.
    MessagePack,
}

impl Codec {
    /// The codec of a protocol's name.
    pub fn of_protocol(name: &str) -> Option<Self> {
        match name {
            JSON => Some(Self::Json),
            MESSAGE_PACK => Some(Self::MessagePack),
            _ => None,
        }
    }

    /// The name of the protocol.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::MessagePack => MESSAGE_PACK,
        }
    }

    /// A WebSocket frame with this JSON text.
    pub fn frame(self, json: &[u8]) -> Bytes {
        match self {
            Self::Json => message::text(json),
            Self::MessagePack => {
                let value: Value = serde_json::from_slice(json).unwrap_or_default();
                message::binary(&rmp_serde::to_vec(&value).unwrap_or_default())
            }
        }
    }

    /// The value of a client's message.
    fn decode(self, payload: &[u8]) -> Option<Value> {
        match self {
            Self::Json => serde_json::from_slice(payload).ok(),
            Self::MessagePack => {
                let mut rest = payload;
                let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
                deserializer.set_max_depth(MAX_DEPTH);
                let value = Value::deserialize(&mut deserializer).ok()?;
                rest.is_empty().then_some(value)
            }
        }
    }
}

/// A stream in a frame of a client.
#[derive(Debug, Deserialize)]
pub struct Asked {
    pub stream: String,
    /// The sequence of the last event that the client has; any JSON value, so that a wrong one refuses this stream alone.
    #[serde(default)]
    pub after: Option<Value>,
}

/// The first frame of a client.
#[derive(Debug, Deserialize)]
pub struct Hello {
    /// An access token.
    pub token: String,
    /// The epoch of the positions.
    #[serde(default)]
    pub epoch: Option<String>,
    #[serde(default)]
    pub topics: Vec<String>,
    #[serde(default)]
    pub streams: Vec<Asked>,
}

/// A call of the API.
#[derive(Debug, Deserialize)]
pub struct Call {
    pub method: String,
    /// Below `/api/v1`, with the query.
    pub path: String,
    /// The body; none and null are the same.
    #[serde(default)]
    pub body: Value,
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

/// A frame of a client, without its `id`.
#[derive(Debug)]
pub enum Frame {
    Hello(Hello),
    Subscribe(Vec<Asked>),
    Unsubscribe(Vec<Asked>),
    Topic { on: Vec<String>, off: Vec<String> },
    Call(Call),
    Token(String),
    Typing,
    Ping,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<Asked>,
}

#[derive(Deserialize)]
struct Topics {
    #[serde(default)]
    on: Vec<String>,
    #[serde(default)]
    off: Vec<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// A frame that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    pub id: Option<u64>,
    pub problem: Problem,
}

/// Reads a frame, and its `id` if it has one.
///
/// # Errors
/// Returns what is wrong.
pub fn read(codec: Codec, payload: &[u8]) -> Result<(Option<u64>, Frame), Unreadable> {
    let wrong = |id, field: &str, message: &str| Unreadable {
        id,
        problem: Problem::malformed(field, message),
    };
    let Some(Value::Object(mut members)) = codec.decode(payload) else {
        return Err(wrong(None, "frame", "must be an object"));
    };
    let id = match members.remove("id") {
        None | Some(Value::Null) => None,
        Some(id) => {
            let number = id.as_u64().filter(|&id| id <= MOST_ID);
            let expected = "must be a whole number from 0 to 9007199254740991";
            Some(number.ok_or_else(|| wrong(None, "id", expected))?)
        }
    };
    let Some(Value::String(kind)) = members.remove("type") else {
        return Err(wrong(id, "type", "must be a text"));
    };
    let frame = match kind.as_str() {
        "hello" => members_of(members).map(Frame::Hello),
        "subscribe" => members_of(members).map(|it: Streams| Frame::Subscribe(it.streams)),
        "unsubscribe" => members_of(members).map(|it: Streams| Frame::Unsubscribe(it.streams)),
        "topic" => members_of(members).map(|Topics { on, off }| Frame::Topic { on, off }),
        "call" => members_of(members).map(Frame::Call),
        "token" => members_of(members).map(|it: Token| Frame::Token(it.token)),
        "typing" => Ok(Frame::Typing),
        "ping" => Ok(Frame::Ping),
        _ => return Err(wrong(id, "type", "is not a type of frames")),
    };
    let frame = frame.map_err(|(field, message)| wrong(id, &field, &message))?;
    let needs_id = matches!(frame, Frame::Call(_)) && id.is_none();
    if needs_id {
        return Err(wrong(id, "id", "must be given"));
    }
    Ok((id, frame))
}

fn members_of<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "frame".to_owned() } else { path };
        (field, error.into_inner().to_string())
    })
}

/// Frames of the server as JSON texts.
pub mod server {
    use super::{Map, Problem, RawValue, Value, json};

    /// The answer to `hello`.
    pub fn welcome(
        connection: &str,
        player: &str,
        epoch: &str,
        server_time: &str,
        ping_seconds: u32,
    ) -> Vec<u8> {
        text(&json!({
            "type": "welcome",
            "connection": connection,
            "player_id": player,
            "epoch": epoch,
            "server_time": server_time,
            "ping_seconds": ping_seconds,
            "max_frame_bytes": super::message::MAX_MESSAGE_BYTES,
        }))
    }

    /// A stream that is followed from now on.
    pub fn subscribed(
        id: Option<u64>,
        stream: &str,
        head: i64,
        after: i64,
        resync: bool,
        epoch: &str,
    ) -> Vec<u8> {
        let members = json!({
            "type": "subscribed",
            "stream": stream,
            "head": head,
            "after": after,
            "resync": resync,
            "epoch": epoch,
        });
        text(&with_id(members, id))
    }

    /// A stream that is not followed any more.
    pub fn unsubscribed(id: Option<u64>, stream: &str, reason: &str) -> Vec<u8> {
        let members = json!({ "type": "unsubscribed", "stream": stream, "reason": reason });
        text(&with_id(members, id))
    }

    /// A stream of which events cannot be given.
    pub fn resync(stream: &str, head: i64, epoch: &str) -> Vec<u8> {
        text(&json!({ "type": "resync", "stream": stream, "head": head, "epoch": epoch }))
    }

    /// What was asked for is done.
    pub fn done(id: Option<u64>) -> Vec<u8> {
        text(&with_id(json!({ "type": "done" }), id))
    }

    /// The answer to a ping of the protocol.
    pub fn pong(id: Option<u64>, server_time: &str) -> Vec<u8> {
        text(&with_id(json!({ "type": "pong", "server_time": server_time }), id))
    }

    /// The connection will be closed.
    pub fn goaway(reconnect_in_ms: u64) -> Vec<u8> {
        text(&json!({ "type": "goaway", "reconnect_in_ms": reconnect_in_ms }))
    }

    /// A problem with a frame, or with one stream of it.
    pub fn problem(id: Option<u64>, stream: Option<&str>, problem: &Problem) -> Vec<u8> {
        let mut members = json!({ "type": "problem", "problem": problem.to_value() });
        if let Some(stream) = stream {
            members["stream"] = json!(stream);
        }
        text(&with_id(members, id))
    }

    /// An event, given as JSON.
    pub fn event(event: &[u8]) -> Vec<u8> {
        wrapped(b"{\"type\":\"event\",\"event\":", event)
    }

    /// A player's state, given as JSON.
    pub fn state(state: &[u8]) -> Vec<u8> {
        wrapped(b"{\"type\":\"state\",\"data\":", state)
    }

    /// The answer to a call: `members` without the body, and the body as JSON.
    pub fn result(id: u64, members: Map<String, Value>, body: &RawValue) -> Vec<u8> {
        let mut start = json!({ "type": "result", "id": id });
        if let Some(object) = start.as_object_mut() {
            object.extend(members);
        }
        let mut frame = text(&start);
        frame.pop();
        frame.extend_from_slice(b",\"body\":");
        frame.extend_from_slice(body.get().as_bytes());
        frame.push(b'}');
        frame
    }

    fn wrapped(start: &[u8], value: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(start.len() + value.len() + 1);
        frame.extend_from_slice(start);
        frame.extend_from_slice(value);
        frame.push(b'}');
        frame
    }

    fn with_id(mut members: Value, id: Option<u64>) -> Value {
        if let Some(id) = id {
            members["id"] = json!(id);
        }
        members
    }

    fn text(members: &Value) -> Vec<u8> {
        serde_json::to_vec(members).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
