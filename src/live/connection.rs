//! One connection: its socket, what waits to be sent, and what its client follows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use uuid::Uuid;

use super::calls::Calls;
use super::outbox::Outbox;
use super::protocol::Codec;
use super::registry::Place;
use super::topics::StateTopic;
use crate::accounts::Identity;
use crate::domain::{Language, Timestamp};
use crate::game::CacheHandle;
use crate::identity::Epoch;
use crate::streams::StreamName;

/// While more bytes wait, missed events are not read yet.
const ROOMY_BYTES: usize = 64 * 1024;

/// What the upgrade knows of a client.
pub struct Client {
    pub codec: Codec,
    /// The language of the header `Accept-Language`.
    pub language: Option<Language>,
    /// Answers its calls.
    pub calls: Rc<dyn Calls>,
    pub place: Place,
}

/// A connection.
pub struct Connection {
    /// The public id.
    pub id: Uuid,
    pub client: Client,
    socket: TcpStream,
    outbox: RefCell<Outbox>,
    /// Since which tick the kernel has taken nothing more; `None` if it takes everything.
    stalled_since: Cell<Option<u32>>,
    /// Whether it is in the list of connections to be written.
    pub is_dirty: Cell<bool>,
    /// Wakes the task of the connection: it is to be ended, or to wait until the kernel takes more.
    pub wake: Notify,
    /// Notified when there is room again for missed events, and when the connection ends.
    roomy: Notify,
    pub session: RefCell<Option<Box<Session>>>,
    pub subscriptions: RefCell<HashMap<Arc<str>, Rc<Subscription>, RandomState>>,
    /// Calls in flight.
    pub calls: Cell<u8>,
    /// Frames in a row that could not be read.
    pub unreadable: Cell<u8>,
    /// Ticks, one a second.
    pub opened_at: u32,
    pub heard_at: Cell<u32>,
    pub answered_ping_at: Cell<Option<u32>>,
    /// When the connection is dropped, after a close frame.
    pub dropped_at: Cell<Option<u32>>,
    /// Whether the client has sent a close frame.
    pub is_closed_by_client: Cell<bool>,
    /// Whether nothing more can be sent or read.
    pub is_over: Cell<bool>,
}

/// Who is signed in on a connection.
pub struct Session {
    pub identity: Identity,
    /// The access token, which calls carry.
    pub token: Rc<str>,
    pub expires_at: Timestamp,
    pub handle: CacheHandle,
    /// The topic `state`, while it is on.
    pub state: Option<Rc<StateTopic>>,
}

/// A stream that a connection follows.
pub struct Subscription {
    pub name: StreamName,
    pub stream: Arc<str>,
    /// The sequence of the last event that was sent, or the head from which it goes on.
    pub position: Cell<i64>,
    pub epoch: Cell<Epoch>,
    /// Whether what was missed has been sent.
    pub is_live: Cell<bool>,
    pub is_ended: Cell<bool>,
}

impl Connection {
    pub fn new(id: Uuid, client: Client, socket: TcpStream, tick: u32) -> Self {
        Self {
            id,
            client,
            socket,
            outbox: RefCell::default(),
            stalled_since: Cell::new(None),
            is_dirty: Cell::new(false),
            wake: Notify::new(),
            roomy: Notify::new(),
            session: RefCell::default(),
            subscriptions: RefCell::default(),
            calls: Cell::new(0),
            unreadable: Cell::new(0),
            opened_at: tick,
            heard_at: Cell::new(tick),
            answered_ping_at: Cell::new(None),
            dropped_at: Cell::new(None),
            is_closed_by_client: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    /// The number of the connection within the instance.
    pub fn number(&self) -> u64 {
        self.client.place.number()
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The signed-in player.
    pub fn player(&self) -> Option<Uuid> {
        self.session.borrow().as_ref().map(|session| session.identity.player)
    }

    /// Whether nothing more is sent but what waits and the close frame.
    pub fn is_closing(&self) -> bool {
        self.dropped_at.get().is_some() || self.is_over.get()
    }

    /// Whether the kernel takes nothing more.
    pub fn is_stalled(&self) -> bool {
        self.stalled_since.get().is_some()
    }

    pub fn stalled_since(&self) -> Option<u32> {
        self.stalled_since.get()
    }

    /// The bytes that wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// Adds a frame. Returns false if too many bytes would wait.
    pub fn push(&self, frame: Bytes) -> bool {
        self.outbox.borrow_mut().push(frame)
    }

    /// Drops what waits, and adds a last frame. Returns by how many bytes less wait now; negative if more wait.
    pub fn end_with(&self, frame: Bytes) -> isize {
        let mut outbox = self.outbox.borrow_mut();
        let before = outbox.bytes();
        outbox.end_with(frame);
        before.cast_signed() - outbox.bytes().cast_signed()
    }

    /// Writes as much as the kernel takes. Returns how many bytes it took.
    pub fn flush(&self, tick: u32) -> usize {
        let mut outbox = self.outbox.borrow_mut();
        let mut sum = 0;
        while !outbox.is_empty() {
            let mut slices: Vec<IoSlice<'_>> = Vec::new();
            outbox.slices(&mut slices);
            match self.socket.try_write_vectored(&slices) {
                Ok(count) => {
                    drop(slices);
                    outbox.written(count);
                    sum += count;
                    if count > 0 && self.stalled_since.get().is_some() {
                        self.stalled_since.set(Some(tick));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stalled_since.get().is_none() {
                        self.stalled_since.set(Some(tick));
                    }
                    // Its task waits until the kernel takes more.
                    self.wake.notify_one();
                    break;
                }
                Err(_) => {
                    self.is_over.set(true);
                    self.wake.notify_one();
                    break;
                }
            }
        }
        if outbox.is_empty() {
            self.stalled_since.set(None);
            if self.is_closing() {
                // Its task waits for this.
                self.wake.notify_one();
            }
        }
        if outbox.bytes() < ROOMY_BYTES {
            self.roomy.notify_waiters();
        }
        sum
    }

    /// Returns when there is room for missed events. Returns false if the connection ends.
    pub async fn room(&self) -> bool {
        self.until_below(ROOMY_BYTES).await
    }

    /// Returns when nothing waits to be sent. Returns false if the connection ends.
    pub async fn drained(&self) -> bool {
        self.until_below(1).await
    }

    /// Returns when fewer bytes wait, of which there are at most [`ROOMY_BYTES`].
    async fn until_below(&self, bytes: usize) -> bool {
        loop {
            let roomy = self.roomy.notified();
            if self.is_closing() {
                return false;
            }
            if self.waiting_bytes() < bytes {
                return true;
            }
            roomy.await;
        }
    }

    /// Drops what waits. Returns how many bytes that were.
    pub fn clear(&self) -> usize {
        self.outbox.take().bytes()
    }

    /// Ends the waits of [`Connection::room`] and [`Connection::drained`].
    pub fn end_waits(&self) {
        self.roomy.notify_waiters();
    }
}
