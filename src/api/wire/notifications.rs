//! Notifications and announcements, and the requests about them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::object::{Object, present};
use super::time::rfc3339;
use crate::api::problem::Problem;
use crate::domain::text::{self, TextLimits};
use crate::domain::{Language, Localized, Priority, Timestamp};
use crate::notifications::{Mailing, texts_of};
use crate::store::mailings::MailingRecord;
use crate::store::notifications::{Marked, NotificationList, NotificationRecord, UnreadCounts};

const TITLE: TextLimits = TextLimits { characters: 120, bytes: 1_024 };
const BODY: TextLimits = TextLimits { characters: 4_000, bytes: 16 * 1_024 };
const MAX_DATA_BYTES: usize = 8 * 1_024;
const MAX_PLAYERS: usize = 1_000;
const MAX_IDS: usize = 1_000;
const MAX_MUTED: usize = 100;
const MAX_KIND: usize = 64;
const MAX_KEY: usize = 200;

/// A language of texts for players.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Language)]
pub enum LanguageWire {
    En,
    Ko,
}

/// How important a notification is. `high` cannot be muted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Priority)]
pub enum PriorityWire {
    High,
    Medium,
    Low,
}

/// A text in the languages that are shipped.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LocalizedText)]
pub struct LocalizedWire {
    pub en: String,
    /// If it is missing, the English text is shown.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub ko: Option<String>,
}

impl From<Localized> for LocalizedWire {
    fn from(text: Localized) -> Self {
        Self { en: text.en, ko: text.ko }
    }
}

/// How many notifications and announcements the player has not read, by priority.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = UnreadCounts)]
pub struct UnreadWire {
    #[schema(value_type = u64)]
    pub high: i64,
    #[schema(value_type = u64)]
    pub medium: i64,
    #[schema(value_type = u64)]
    pub low: i64,
}

impl From<UnreadCounts> for UnreadWire {
    fn from(counts: UnreadCounts) -> Self {
        Self { high: counts.high, medium: counts.medium, low: counts.low }
    }
}

/// A notification of the player, or an announcement to everybody.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationWire {
    pub id: Uuid,
    /// The sequence of its event: in the player's stream, or in `announcements`.
    #[schema(value_type = u64)]
    pub sequence: i64,
    /// For programs. The game itself sends `offline_cap_reached`, `new_sign_in`, `grant` and `season_ended`; operators may
    /// send other types.
    #[serde(rename = "type")]
    #[schema(example = "grant")]
    pub kind: String,
    #[schema(value_type = PriorityWire)]
    pub priority: Priority,
    /// In the player's language.
    pub title: String,
    /// In the player's language. May have several lines.
    pub body: String,
    /// For programs; depends on the type.
    #[schema(value_type = HashMap<String, Value>)]
    pub data: Value,
    #[schema(format = DateTime)]
    pub at: String,
    /// Null while it is unread.
    #[schema(required, format = DateTime)]
    pub read_at: Option<String>,
    /// Null if it does not expire.
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    /// Whether it is an announcement to everybody.
    pub announcement: bool,
}

impl NotificationWire {
    /// A notification in a language.
    pub fn new(record: NotificationRecord, language: Language) -> Self {
        let (title, body) = texts_of(&record);
        Self {
            id: record.id,
            sequence: record.sequence,
            kind: record.kind,
            priority: record.priority,
            title: title.text(language).to_owned(),
            body: body.text(language).to_owned(),
            data: record.data,
            at: rfc3339(record.at),
            read_at: record.read_at.map(rfc3339),
            expires_at: record.expires_at.map(rfc3339),
            announcement: record.is_announcement,
        }
    }
}

/// An announcement, in all languages.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Announcement)]
pub struct AnnouncementWire {
    pub id: Uuid,
    #[schema(value_type = u64)]
    pub sequence: i64,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = PriorityWire)]
    pub priority: Priority,
    pub title: LocalizedWire,
    pub body: LocalizedWire,
    #[schema(value_type = HashMap<String, Value>)]
    pub data: Value,
    #[schema(format = DateTime)]
    pub at: String,
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    pub announcement: bool,
}

impl From<&MailingRecord> for AnnouncementWire {
    fn from(mailing: &MailingRecord) -> Self {
        Self {
            id: mailing.id,
            sequence: mailing.sequence.unwrap_or(0),
            kind: mailing.kind.clone(),
            priority: mailing.priority,
            title: mailing.title.clone().into(),
            body: mailing.body.clone().into(),
            data: mailing.data.clone(),
            at: rfc3339(mailing.sent_at.unwrap_or(mailing.send_at)),
            expires_at: mailing.expires_at.map(rfc3339),
            announcement: true,
        }
    }
}

/// A page of the notifications of a player, newest first. Everything in it is of the same moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationList)]
pub struct NotificationListWire {
    pub entries: Vec<NotificationWire>,
    /// Send it as `cursor` to get the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
    pub unread: UnreadWire,
    /// The head of the player's stream.
    #[schema(value_type = u64)]
    pub head: i64,
    /// The head of `announcements`.
    #[schema(value_type = u64)]
    pub announcements_head: i64,
}

impl NotificationListWire {
    /// A page in a language.
    pub fn new(list: NotificationList, language: Language, next_cursor: Option<String>) -> Self {
        let entries = list.entries.into_iter().map(|it| NotificationWire::new(it, language));
        Self {
            entries: entries.collect(),
            next_cursor,
            unread: list.unread.into(),
            head: list.head,
            announcements_head: list.announcements_head,
        }
    }
}

/// What to mark as read: either `ids`, or `through`, `announcements_through` or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct MarkRequest {
    /// Notifications and announcements with these ids. Other ids change nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    ids: Option<Vec<Uuid>>,
    /// Notifications up to this sequence of the player's stream.
    #[serde(default)]
    #[schema(value_type = u64, nullable = false, required = false)]
    through: Option<Box<RawValue>>,
    /// Announcements up to this sequence.
    #[serde(default)]
    #[schema(value_type = u64, nullable = false, required = false)]
    announcements_through: Option<Box<RawValue>>,
}

impl MarkRequest {
    /// What is to be marked.
    ///
    /// # Errors
    /// Returns 400 for a sequence that is not a whole number, or if the members do not belong together, and 422 for a
    /// number of ids out of range.
    pub fn marked(self) -> Result<Marked, Problem> {
        let personal = read_sequence("through", self.through.as_deref())?;
        let announcements =
            read_sequence("announcements_through", self.announcements_through.as_deref())?;
        match (self.ids, personal.or(announcements)) {
            (Some(ids), None) if (1..=MAX_IDS).contains(&ids.len()) => Ok(Marked::Ids(ids)),
            (Some(_), None) => {
                Err(Problem::unacceptable("ids", format!("must have 1 to {MAX_IDS} entries")))
            }
            (None, Some(_)) => Ok(Marked::Through { personal, announcements }),
            _ => Err(Problem::malformed(
                "body",
                "must contain either ids, or through or announcements_through",
            )),
        }
    }
}

fn read_sequence(field: &'static str, raw: Option<&RawValue>) -> Result<Option<i64>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let wrong = || Problem::malformed(field, "must be a whole number that is not negative");
    let number: f64 = raw.get().parse().map_err(|_| wrong())?;
    let is_exact = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    if is_exact { Ok(Some(number as i64)) } else { Err(wrong()) }
}

/// The type of a notification: 1 to 64 lower-case letters, digits, underscores and dots.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationType, min_length = 1, max_length = 64, pattern = "^[a-z0-9_.]+$")]
pub struct KindWire(pub String);

/// Which types of notifications the player does not get.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationSettings)]
pub struct NotificationSettingsWire {
    /// Types, each once. A notification of one of these types is not made, and an announcement is not counted as unread,
    /// unless its priority is `high`.
    #[schema(value_type = Vec<KindWire>, max_items = 100, example = json!(["grant"]))]
    pub muted_types: Vec<String>,
}

impl NotificationSettingsWire {
    /// The types, sorted.
    ///
    /// # Errors
    /// Returns 422 for a type that no notification can have, and for too many types.
    pub fn types(self) -> Result<Vec<String>, Problem> {
        for (index, kind) in self.muted_types.iter().enumerate() {
            check_kind(&format!("muted_types[{index}]"), kind)?;
        }
        let mut types = self.muted_types;
        types.sort_unstable();
        types.dedup();
        if types.len() > MAX_MUTED {
            let message = format!("must have at most {MAX_MUTED} entries");
            return Err(Problem::unacceptable("muted_types", message));
        }
        Ok(types)
    }
}

fn check_kind(field: &str, kind: &str) -> Result<(), Problem> {
    let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
    if (1..=MAX_KIND).contains(&kind.len()) && kind.chars().all(is_known) {
        return Ok(());
    }
    let message =
        format!("must be 1 to {MAX_KIND} lower-case letters, digits, underscores and dots");
    Err(Problem::unacceptable(field, message))
}

/// Who gets a notification: everybody, or some players.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Recipients)]
pub enum RecipientsWire {
    All(EverybodyWire),
    Players(PlayersWire),
}

/// Everybody.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Everybody)]
pub enum EverybodyWire {
    All,
}

/// Some players.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecipientPlayers)]
pub struct PlayersWire {
    #[schema(min_items = 1, max_items = 1000)]
    pub players: Vec<Uuid>,
}

/// A notification to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminNotificationRequest {
    /// `"all"`, or some players. Players who do not exist are skipped.
    #[schema(value_type = RecipientsWire)]
    to: Value,
    /// For programs.
    #[serde(rename = "type")]
    #[schema(value_type = KindWire, example = "maintenance")]
    kind: String,
    #[schema(value_type = PriorityWire)]
    priority: String,
    /// Each 1 to 120 user-perceived characters (grapheme clusters).
    #[serde(deserialize_with = "localized")]
    title: LocalizedWire,
    /// Each 1 to 4,000 user-perceived characters (grapheme clusters), in one or more lines.
    #[serde(deserialize_with = "localized")]
    body: LocalizedWire,
    /// For programs; at most 8 KiB of JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = HashMap<String, Value>, nullable = false, required = false)]
    data: Option<Map<String, Value>>,
    /// A second request with the same key has no effect for 30 days.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    dedupe_key: Option<String>,
    /// When to send it; now if this is missing or in the past.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, format = DateTime)]
    at: Option<String>,
    /// When it is removed.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
}

fn localized<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<LocalizedWire, D::Error> {
    Object::deserialize(deserializer).map(|Object(text)| text)
}

impl AdminNotificationRequest {
    /// What to send, as of `now`.
    ///
    /// # Errors
    /// Returns 400 for a value of another type, and 422 for a value that is not allowed.
    pub fn mailing(self, now: Timestamp) -> Result<Mailing, Problem> {
        let players = read_recipients(self.to)?;
        check_kind("type", &self.kind)?;
        let priority = read_priority(&self.priority)
            .ok_or_else(|| Problem::unacceptable("priority", "must be high, medium or low"))?;
        let title = check_text("title", self.title, |text| text::shown(text, TITLE))?;
        let body = check_text("body", self.body, |text| text::shown_lines(text, BODY))?;
        let data = Value::Object(self.data.unwrap_or_default());
        if data.to_string().len() > MAX_DATA_BYTES {
            return Err(Problem::unacceptable("data", "must be at most 8 KiB of JSON"));
        }
        if data.to_string().contains("\\u0000") {
            return Err(Problem::unacceptable("data", "must not contain a NUL character"));
        }
        if let Some(key) = &self.dedupe_key {
            let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_visible || !(1..=MAX_KEY).contains(&key.len()) {
                let message = format!("must be 1 to {MAX_KEY} visible ASCII characters");
                return Err(Problem::unacceptable("dedupe_key", message));
            }
        }
        let at = read_time("at", self.at.as_deref())?;
        let expires_at = read_time("expires_at", self.expires_at.as_deref())?;
        if expires_at.is_some_and(|expires_at| expires_at <= at.unwrap_or(now).max(now)) {
            return Err(Problem::unacceptable("expires_at", "must be later than the sending"));
        }
        Ok(Mailing {
            players,
            kind: self.kind,
            priority,
            title,
            body,
            data,
            dedupe_key: self.dedupe_key,
            at,
            expires_at,
        })
    }
}

fn read_recipients(to: Value) -> Result<Option<Vec<Uuid>>, Problem> {
    if let Value::String(text) = &to {
        let wrong = || Problem::unacceptable("to", "must be \"all\" or {\"players\": [...]}");
        return if text == "all" { Ok(None) } else { Err(wrong()) };
    }
    let PlayersWire { mut players } = match serde_json::from_value::<Object<PlayersWire>>(to) {
        Ok(Object(players)) => players,
        Err(error) => return Err(Problem::malformed("to", error.to_string())),
    };
    if !(1..=MAX_PLAYERS).contains(&players.len()) {
        let message = format!("must have 1 to {MAX_PLAYERS} entries");
        return Err(Problem::unacceptable("to.players", message));
    }
    players.sort_unstable();
    players.dedup();
    Ok(Some(players))
}

fn check_text(
    field: &str,
    text: LocalizedWire,
    check: impl Fn(&str) -> Result<String, text::UnfitText>,
) -> Result<Localized, Problem> {
    let checked = |language: &str, text: &str| {
        let unfit = |unfit: text::UnfitText| {
            Problem::unacceptable(format!("{field}.{language}"), unfit.to_string())
        };
        check(text).map_err(unfit)
    };
    let ko = text.ko.as_deref().map(|ko| checked("ko", ko)).transpose()?;
    Ok(Localized { en: checked("en", &text.en)?, ko })
}

/// A time as RFC 3339.
fn read_time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Problem::malformed(field, "must be a time such as 2026-11-21T10:00:00.000Z")
    })?;
    Ok(Some(Timestamp::from_micros(time.as_microsecond())))
}

/// The priority with this name.
pub fn read_priority(name: &str) -> Option<Priority> {
    Priority::from_name(name)
}

/// The language with this code.
///
/// # Errors
/// Returns 422 for other texts.
pub fn read_language(code: &str) -> Result<Language, Problem> {
    Language::from_code(code).ok_or_else(|| Problem::unacceptable("language", "must be en or ko"))
}

/// The id of a notification that was sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentNotification)]
pub struct SentWire {
    pub id: Uuid,
}

/// A notification as operators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminNotification)]
pub struct AdminNotificationWire {
    pub id: Uuid,
    pub to: RecipientsWire,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = PriorityWire)]
    pub priority: Priority,
    pub title: LocalizedWire,
    pub body: LocalizedWire,
    #[schema(value_type = HashMap<String, Value>)]
    pub data: Value,
    #[schema(required)]
    pub dedupe_key: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it is to be sent.
    #[schema(format = DateTime)]
    pub at: String,
    /// Null until it was sent.
    #[schema(required, format = DateTime)]
    pub sent_at: Option<String>,
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was withdrawn, or removed because it had expired. Null before.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<MailingRecord> for AdminNotificationWire {
    fn from(mailing: MailingRecord) -> Self {
        let to = match mailing.players {
            Some(players) => RecipientsWire::Players(PlayersWire { players }),
            None => RecipientsWire::All(EverybodyWire::All),
        };
        Self {
            id: mailing.id,
            to,
            kind: mailing.kind,
            priority: mailing.priority,
            title: mailing.title.into(),
            body: mailing.body.into(),
            data: mailing.data,
            dedupe_key: mailing.dedupe_key,
            created_at: rfc3339(mailing.created_at),
            at: rfc3339(mailing.send_at),
            sent_at: mailing.sent_at.map(rfc3339),
            expires_at: mailing.expires_at.map(rfc3339),
            ended_at: mailing.ended_at.map(rfc3339),
        }
    }
}
