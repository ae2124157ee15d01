//! Events of streams, and the answers to polls.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::notifications::{AnnouncementWire, NotificationWire};
use super::time::rfc3339;
use crate::domain::Language;
use crate::notifications::{Referred, referred_id};
use crate::store::streams::Event;
use crate::streams::{Polled, Status};

/// An event of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventWire {
    #[schema(example = "player:0193f1a0-0000-7000-8000-000000000001")]
    pub stream: String,
    /// Counts 1, 2, 3 within the stream, in the order of commit and without gaps.
    #[schema(value_type = u64)]
    pub sequence: i64,
    #[schema(format = DateTime)]
    pub at: String,
    /// `notification.created`, `notification.read`, `notification.deleted`, `announcement.created` or
    /// `announcement.withdrawn`. Ignore types that you do not know.
    #[serde(rename = "type")]
    #[schema(example = "notification.created")]
    pub kind: String,
    /// The server's own id of the call that caused the event; null if no call did.
    #[schema(required)]
    pub request_id: Option<Uuid>,
    /// Depends on the type: a notification or an announcement as it is now; `ids`, `through` or `announcements_through`, and
    /// `unread`; or `id` and `unread`. Of what was deleted meanwhile only the `id` is left.
    #[schema(value_type = HashMap<String, Value>)]
    pub data: Value,
}

impl EventWire {
    /// An event for a reader with this language. `referred` is what the events refer to.
    pub fn new(event: &Event, referred: &Referred, language: Language) -> Self {
        Self {
            stream: event.stream.clone(),
            sequence: event.sequence,
            at: rfc3339(event.at),
            kind: event.kind.clone(),
            request_id: event.request,
            data: data_of(event, referred, language),
        }
    }
}

fn data_of(event: &Event, referred: &Referred, language: Language) -> Value {
    let stored = || serde_json::from_str(&event.data).unwrap_or_else(|_| json!({}));
    let Some(id) = referred_id(event) else { return stored() };
    let shown = match event.kind.as_str() {
        "notification.created" => {
            let found = referred.notifications.get(&id).cloned();
            found.map(|found| json!(NotificationWire::new(found, language)))
        }
        "announcement.created" => {
            let found = referred.announcements.get(&id);
            found.map(|found| json!(AnnouncementWire::from(&**found)))
        }
        _ => None,
    };
    shown.unwrap_or_else(stored)
}

/// A stream and its head.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
pub struct StreamWire {
    pub stream: String,
    /// The sequence of the last event; 0 if there is none.
    #[schema(value_type = u64)]
    pub head: i64,
    /// Whether the events after the position cannot be given: it is older than an hour, more than 1,000 events behind, or of
    /// another epoch. Read the resource anew, and continue from `head`.
    pub resync: bool,
}

impl From<&Status> for StreamWire {
    fn from(status: &Status) -> Self {
        let &Status { name, head, resync } = status;
        Self { stream: name.to_string(), head, resync }
    }
}

/// What came after the positions of a poll.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Poll)]
pub struct PollWire {
    /// Names the history that the sequences belong to. Send it back with the positions.
    #[schema(example = "5b1c8e0f9a7d2346")]
    pub epoch: String,
    /// At most 300, shared evenly among the streams, and oldest first within each.
    pub events: Vec<EventWire>,
    pub streams: Vec<StreamWire>,
    /// Whether there are more events: poll again at once.
    pub more: bool,
}

impl PollWire {
    /// The answer to a reader with this language. `referred` is what the events refer to.
    pub fn new(polled: &Polled, referred: &Referred, language: Language) -> Self {
        let events = polled.events.iter().map(|it| EventWire::new(it, referred, language));
        Self {
            epoch: polled.epoch.to_string(),
            events: events.collect(),
            streams: polled.streams.iter().map(Into::into).collect(),
            more: polled.more,
        }
    }
}

/// The streams that a client of the player should follow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Streams)]
pub struct StreamsWire {
    #[schema(example = "5b1c8e0f9a7d2346")]
    pub epoch: String,
    pub streams: Vec<StreamHeadWire>,
}

/// A stream to follow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamHead)]
pub struct StreamHeadWire {
    pub stream: String,
    /// The sequence of the last event; 0 if there is none.
    #[schema(value_type = u64)]
    pub head: i64,
}

impl StreamsWire {
    /// The streams with their heads in an epoch.
    pub fn new(epoch: crate::identity::Epoch, streams: &[Status]) -> Self {
        let streams = streams
            .iter()
            .map(|status| StreamHeadWire { stream: status.name.to_string(), head: status.head });
        Self { epoch: epoch.to_string(), streams: streams.collect() }
    }
}
