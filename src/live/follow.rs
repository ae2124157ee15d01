//! Following streams: what was missed is read by positions, and then new events are sent as they come.
//!
//! Each subscription has a position: the sequence of the last event that was sent. An event is sent only if it follows
//! on its position. So none is sent twice, and none is left out, whatever task sends it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use super::connection::{Connection, Subscription};
use super::protocol::{Asked, Codec, server};
use super::worker::Worker;
use crate::api::problem::Problem;
use crate::api::wire::EventWire;
use crate::domain::Language;
use crate::identity::Epoch;
use crate::notifications::Referred;
use crate::store::streams::Event;
use crate::streams::{Poll, Polled, StreamName};

/// The largest number of streams that a connection follows.
pub const MOST_STREAMS: usize = 100;
/// The pause after the database did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A stream that connections of this worker follow.
pub struct Followed {
    name: StreamName,
    stream: Arc<str>,
    followers: RefCell<Vec<(Rc<Connection>, Rc<Subscription>)>>,
    /// Whether a task sends events.
    is_busy: Cell<bool>,
}

/// A stream to follow, and the sequence of the last event that the client has.
type Wanted = (Rc<Subscription>, Option<i64>);

impl Worker {
    /// Follows streams on behalf of a connection. `epoch` is that of the positions.
    pub fn subscribe(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<u64>,
        asked: Vec<Asked>,
        epoch: Option<String>,
    ) {
        let Some(player) = connection.player() else { return };
        let mut wanted: Vec<Wanted> = Vec::new();
        for Asked { stream, after } in asked {
            match self.begin(connection, player, &stream, after.as_ref()) {
                Ok(begun) => {
                    // The last one of the same name counts.
                    wanted.retain(|(other, _)| other.stream != begun.0.stream);
                    wanted.push(begun);
                }
                Err(problem) => {
                    self.send(connection, &server::problem(id, Some(&stream), &problem));
                }
            }
        }
        if !wanted.is_empty() {
            let (worker, connection) = (Rc::clone(self), Rc::clone(connection));
            tokio::task::spawn_local(async move {
                worker.catch_up(&connection, player, id, wanted, epoch).await;
            });
        }
    }

    /// Joins the stream first, so that no event falls between what is read and what comes.
    fn begin(
        &self,
        connection: &Rc<Connection>,
        player: Uuid,
        stream: &str,
        after: Option<&Value>,
    ) -> Result<Wanted, Problem> {
        let missing = || Problem::from(crate::streams::Error::NoSuchStream(stream.to_owned()));
        let name = StreamName::parse(stream).filter(|name| name.is_readable_by(player));
        let name = name.ok_or_else(missing)?;
        let after = match after {
            None | Some(Value::Null) => None,
            Some(after) => {
                let number = after.as_i64().filter(|&number| number >= 0);
                Some(number.ok_or_else(|| Problem::malformed("after", "must be a whole number"))?)
            }
        };
        self.unsubscribe(connection, stream);
        if connection.subscriptions.borrow().len() >= MOST_STREAMS {
            let message = format!("must be at most {MOST_STREAMS} on a connection");
            return Err(Problem::malformed("streams", message));
        }
        let stream: Arc<str> = stream.into();
        let subscription = Rc::new(Subscription {
            name,
            stream: Arc::clone(&stream),
            position: Cell::new(0),
            epoch: Cell::default(),
            is_live: Cell::new(false),
            is_ended: Cell::new(false),
        });
        connection.subscriptions.borrow_mut().insert(Arc::clone(&stream), Rc::clone(&subscription));
        self.metrics().subscriptions.inc();
        let followed =
            Rc::clone(self.followed.borrow_mut().entry(Arc::clone(&stream)).or_insert_with(|| {
                self.services().streams.join(self.number, &stream, &self.listener);
                Rc::new(Followed {
                    name,
                    stream,
                    followers: RefCell::default(),
                    is_busy: Cell::new(false),
                })
            }));
        followed.followers.borrow_mut().push((Rc::clone(connection), Rc::clone(&subscription)));
        Ok((subscription, after))
    }

    /// Ends a subscription. Returns whether there was one.
    pub fn unsubscribe(&self, connection: &Connection, stream: &str) -> bool {
        let Some(subscription) = connection.subscriptions.borrow_mut().remove(stream) else {
            return false;
        };
        self.end(&subscription);
        true
    }

    /// Ends all subscriptions of a connection.
    pub fn unsubscribe_all(&self, connection: &Connection) {
        let all = std::mem::take(&mut *connection.subscriptions.borrow_mut());
        for subscription in all.values() {
            self.end(subscription);
        }
    }

    fn end(&self, subscription: &Rc<Subscription>) {
        subscription.is_ended.set(true);
        subscription.is_live.set(false);
        self.metrics().subscriptions.dec();
        let Some(followed) = self.followed.borrow().get(&subscription.stream).cloned() else {
            return;
        };
        let mut followers = followed.followers.borrow_mut();
        if let Some(index) = followers.iter().position(|(_, it)| Rc::ptr_eq(it, subscription)) {
            followers.swap_remove(index);
        }
        if followers.is_empty() {
            drop(followers);
            self.followed.borrow_mut().remove(&subscription.stream);
            self.services().streams.leave(self.number, &subscription.stream);
        }
    }

    /// Sends what was missed, by pages as the client takes them, and then makes the subscriptions live.
    async fn catch_up(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        player: Uuid,
        id: Option<u64>,
        mut wanted: Vec<Wanted>,
        mut epoch: Option<String>,
    ) {
        let mut is_first = true;
        while !wanted.is_empty() {
            let positions = wanted.iter().map(|(it, after)| (it.name, *after)).collect();
            let poll = Poll { reader: player, positions, epoch, wait: Duration::ZERO };
            let Some((polled, referred, language)) = self.read_page(connection, &poll).await else {
                return;
            };
            let text = polled.epoch.to_string();
            for ((subscription, after), status) in wanted.iter_mut().zip(&polled.streams) {
                let from = if status.resync { status.head } else { after.unwrap_or(status.head) };
                let stream = &subscription.stream;
                if subscription.is_ended.get() {
                    continue;
                }
                if is_first {
                    let resync = status.resync;
                    self.metrics().resumed(after.is_some(), resync);
                    let frame = server::subscribed(id, stream, status.head, from, resync, &text);
                    self.send(connection, &frame);
                } else if status.resync {
                    self.metrics().resumed(true, true);
                    self.send(connection, &server::resync(stream, status.head, &text));
                }
                *after = Some(from);
                subscription.position.set(from);
                subscription.epoch.set(polled.epoch);
            }
            let mut frames = Frames::new(&referred);
            for event in &polled.events {
                let of = wanted.iter_mut().find(|(it, _)| *it.stream == *event.stream);
                let Some((subscription, after)) = of else { continue };
                if deliver(self, connection, subscription, event, language, &mut frames) {
                    *after = Some(event.sequence);
                }
            }
            is_first = false;
            epoch = Some(text);
            if !connection.room().await {
                return;
            }
            wanted.retain(|(subscription, after)| {
                let status = polled.streams.iter().find(|status| status.name == subscription.name);
                let is_complete = status.is_some_and(|it| after.is_none_or(|at| at >= it.head));
                if is_complete && !subscription.is_ended.get() {
                    // New events are sent by one task for all followers, which begins at the lowest position.
                    subscription.is_live.set(true);
                    self.distribute(&subscription.stream);
                }
                !is_complete && !subscription.is_ended.get()
            });
        }
    }

    /// Reads a page for a connection, and repeats this while the database does not answer. `None` if the connection has
    /// ended.
    async fn read_page(
        &self,
        connection: &Connection,
        poll: &Poll,
    ) -> Option<(Polled, Referred, Language)> {
        loop {
            let read = async {
                let polled = self.services().streams.resume(poll).await?;
                let referred = self.referred(poll.reader, &polled.events).await?;
                Ok::<_, Problem>((polled, referred))
            };
            let read = read.await;
            if connection.is_closing() {
                return None;
            }
            match read {
                Ok((polled, (referred, chosen))) => {
                    let language = chosen.or(connection.client.language).unwrap_or_default();
                    return Some((polled, referred, language));
                }
                Err(error) => {
                    tracing::debug!(%error, "missed events could not be read");
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// What events refer to, and the language that their reader has chosen.
    async fn referred(
        &self,
        reader: Uuid,
        events: &[Arc<Event>],
    ) -> Result<(Referred, Option<Language>), Problem> {
        let services = self.services();
        let referred = services.notifications.referred(reader, events).await?;
        if referred.notifications.is_empty() {
            return Ok((referred, None));
        }
        let state = services.game.look_up(reader).await.ok();
        Ok((referred, state.and_then(|state| state.record.player.language)))
    }

    /// Sends new events of a stream to all who follow it.
    pub fn distribute(self: &Rc<Self>, stream: &Arc<str>) {
        let Some(followed) = self.followed.borrow().get(stream).cloned() else { return };
        if !followed.is_busy.replace(true) {
            let worker = Rc::clone(self);
            tokio::task::spawn_local(async move {
                while let Err(error) = worker.send_news(&followed).await {
                    tracing::debug!(%error, "new events could not be read");
                    sleep(RETRY_PAUSE).await;
                }
                followed.is_busy.set(false);
            });
        }
    }

    /// Sends events until there are no new ones.
    async fn send_news(&self, followed: &Followed) -> Result<(), Problem> {
        let streams = &self.services().streams;
        loop {
            let epoch = streams.epoch();
            if !streams.holds(epoch) {
                // The history has just changed. All are notified again when this is known everywhere.
                return Ok(());
            }
            if followed.live().any(|(_, it)| it.epoch.get() != epoch) {
                let head = streams.head(followed.name).await?;
                self.resync(followed, head, epoch, |it| it.epoch.get() != epoch);
                continue;
            }
            let Some(position) = followed.live().map(|(_, it)| it.position.get()).min() else {
                return Ok(());
            };
            let news = streams.news(followed.name, &followed.stream, position).await?;
            let Some(polled) = news else { return Ok(()) };
            // Any player reads the announcements.
            let reader = match followed.name {
                StreamName::Player(player) => player,
                StreamName::Announcements => Uuid::nil(),
            };
            let (referred, chosen) = self.referred(reader, &polled.events).await?;
            if streams.epoch() != epoch {
                continue;
            }
            let Some(status) = polled.streams.first() else { return Ok(()) };
            if status.resync {
                let lost = |it: &Subscription| it.position.get() == position;
                self.resync(followed, status.head, epoch, lost);
                continue;
            }
            let now = self.services().game.now();
            for event in &polled.events {
                self.metrics().delivery_seconds.observe(now.seconds_since(event.at).max(0.0));
            }
            let mut frames = Frames::new(&referred);
            for (connection, subscription) in followed.live() {
                let language = chosen.or(connection.client.language).unwrap_or_default();
                for event in &polled.events {
                    deliver(self, &connection, &subscription, event, language, &mut frames);
                }
            }
        }
    }

    /// Continues those of the live followers that are `lost` at the head of an epoch.
    fn resync(
        &self,
        followed: &Followed,
        head: i64,
        epoch: Epoch,
        lost: impl Fn(&Subscription) -> bool,
    ) {
        let text = epoch.to_string();
        for (connection, subscription) in followed.live().filter(|(_, it)| lost(it)) {
            self.metrics().resumed(true, true);
            subscription.epoch.set(epoch);
            subscription.position.set(head);
            self.send(&connection, &server::resync(&followed.stream, head, &text));
        }
    }
}

impl Followed {
    /// Those who have everything that they missed.
    fn live(&self) -> impl Iterator<Item = (Rc<Connection>, Rc<Subscription>)> {
        let followers = self.followers.borrow();
        let live = followers.iter().filter(|(_, it)| it.is_live.get());
        live.cloned().collect::<Vec<_>>().into_iter()
    }
}

/// Sends an event if it follows on the position. Returns whether it was sent.
fn deliver(
    worker: &Worker,
    connection: &Rc<Connection>,
    subscription: &Subscription,
    event: &Arc<Event>,
    language: Language,
    frames: &mut Frames<'_>,
) -> bool {
    let follows = event.sequence == subscription.position.get() + 1;
    if !follows || subscription.is_ended.get() {
        return false;
    }
    subscription.position.set(event.sequence);
    worker.send_frame(connection, frames.of(event, connection.client.codec, language));
    true
}

/// The frames of events, each made once for all who get the same bytes.
struct Frames<'a> {
    referred: &'a Referred,
    made: HashMap<(usize, Codec, Language), Bytes>,
}

impl<'a> Frames<'a> {
    fn new(referred: &'a Referred) -> Self {
        Self { referred, made: HashMap::new() }
    }

    fn of(&mut self, event: &Arc<Event>, codec: Codec, language: Language) -> Bytes {
        let key = (Arc::as_ptr(event).addr(), codec, language);
        let frame = self.made.entry(key).or_insert_with(|| {
            let wire = EventWire::new(event, self.referred, language);
            let json = serde_json::to_vec(&wire).unwrap_or_default();
            codec.frame(&server::event(&json))
        });
        frame.clone()
    }
}
