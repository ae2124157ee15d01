//! The connections of one worker thread. Only this thread touches them, so nothing here is locked.
//!
//! What is to be sent is first added to the outboxes of connections. A task then writes each connection once for all that
//! was added meanwhile, and pauses after each [`WRITES_IN_A_ROW`] connections, so that requests of this thread are
//! answered in between.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use rand::RngExt;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;
use uuid::Uuid;

use super::closing::Closing;
use super::connection::Connection;
use super::follow::Followed;
use super::mailbox::{Mailbox, News};
use super::message;
use super::protocol::server;
use super::{Live, Services};
use crate::game::PlayerWatcher;
use crate::streams::Listener;
use crate::telemetry::live::LiveMetrics;

/// The pause after this many writes.
const WRITES_IN_A_ROW: usize = 128;
/// Ticks within which a client must send its first frame.
const HELLO_TICKS: u32 = 5;
/// Ticks between two pings.
pub const PING_TICKS: u32 = 25;
/// Ticks after which a client of which nothing was heard is closed.
const SILENT_TICKS: u32 = 33;
/// Ticks after which a client that takes nothing is closed.
const STALLED_TICKS: u32 = 30;
/// Ticks that a client has to answer a close frame.
const CLOSE_TICKS: u32 = 2;
/// Ticks that a slow client has to take a close frame.
const SLOW_CLOSE_TICKS: u32 = 10;
/// Ticks between two looks at the state of a connection, in case it changed by time, or a message was lost.
const STATE_TICKS: u32 = 5;
/// How often connections are closed during a drain.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);
/// The longest pause of a client after the close frame of a drain, in milliseconds.
const MOST_RECONNECT_MILLIS: u64 = 1_000;

/// The connections of a worker thread.
pub struct Worker {
    live: Arc<Live>,
    /// Identifies this worker among the listeners of streams.
    pub(super) number: u64,
    pub(super) mailbox: Arc<Mailbox>,
    /// The mailbox as a listener of streams and a watcher of players.
    pub(super) listener: Arc<dyn Listener>,
    pub(super) watcher: Arc<dyn PlayerWatcher>,
    connections: RefCell<HashMap<u64, Rc<Connection>, RandomState>>,
    /// Numbers of the connections that are signed in, by player.
    players: RefCell<HashMap<Uuid, Vec<u64>, RandomState>>,
    pub(super) followed: RefCell<HashMap<Arc<str>, Rc<Followed>, RandomState>>,
    /// Connections to which something was added since they were last written.
    dirty: RefCell<Vec<Rc<Connection>>>,
    flush: Notify,
    /// The latest tick of [`Live`].
    tick: Cell<u32>,
}

impl Worker {
    /// A worker without connections, whose tasks run on this thread. Call it within a `LocalSet`.
    pub fn start(live: &Arc<Live>) -> Rc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let worker = Rc::new(Self {
            number: live.services.streams.listener_number(),
            listener: Arc::<Mailbox>::clone(&mailbox),
            watcher: Arc::<Mailbox>::clone(&mailbox),
            mailbox,
            live: Arc::clone(live),
            connections: RefCell::default(),
            players: RefCell::default(),
            followed: RefCell::default(),
            dirty: RefCell::default(),
            flush: Notify::new(),
            tick: Cell::new(*live.ticks.borrow()),
        });
        let spawn = |task: fn(Rc<Self>) -> futures_util::future::LocalBoxFuture<'static, ()>| {
            tokio::task::spawn_local(task(Rc::clone(&worker)));
        };
        spawn(|worker| Box::pin(async move { worker.read_mailbox().await }));
        spawn(|worker| Box::pin(async move { worker.write_forever().await }));
        spawn(|worker| Box::pin(async move { worker.sweep_forever().await }));
        spawn(|worker| Box::pin(async move { worker.end_revoked().await }));
        spawn(|worker| Box::pin(async move { worker.drain().await }));
        worker
    }

    pub(super) fn services(&self) -> &Services {
        &self.live.services
    }

    pub(super) fn metrics(&self) -> &LiveMetrics {
        &self.live.services.metrics
    }

    /// The latest tick.
    pub(super) fn tick(&self) -> u32 {
        self.tick.get()
    }

    pub(super) fn add(&self, connection: &Rc<Connection>) {
        self.connections.borrow_mut().insert(connection.number(), Rc::clone(connection));
        self.metrics().connections.inc();
        if self.live.draining.borrow().is_some() {
            // It was accepted just before the drain began.
            self.close(connection, Closing::Draining);
        }
    }

    /// Notes that a connection belongs to a player.
    pub(super) fn sign_in(&self, connection: &Connection, player: Uuid) {
        self.players.borrow_mut().entry(player).or_default().push(connection.number());
        self.live.registry.sign_in(player, connection.number(), &self.mailbox);
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&self, connection: &Connection) {
        self.leave(connection);
        connection.is_over.set(true);
        connection.end_waits();
        self.live.registry.remove_waiting(connection.clear());
        if self.connections.borrow_mut().remove(&connection.number()).is_some() {
            self.metrics().connections.dec();
        }
    }

    /// Ends what a connection follows.
    fn leave(&self, connection: &Connection) {
        self.unsubscribe_all(connection);
        let Some(session) = connection.session.borrow_mut().take() else { return };
        let player = session.identity.player;
        if session.state.is_some() {
            self.services().game.unwatch(player, &self.watcher);
        }
        self.live.registry.sign_out(player, connection.number());
        let mut players = self.players.borrow_mut();
        if let Some(numbers) = players.get_mut(&player) {
            numbers.retain(|&number| number != connection.number());
            if numbers.is_empty() {
                players.remove(&player);
            }
        }
    }

    /// The connections of a player.
    pub(super) fn connections_of(&self, player: Uuid) -> Vec<Rc<Connection>> {
        let (players, connections) = (self.players.borrow(), self.connections.borrow());
        let numbers = players.get(&player).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| connections.get(number).cloned()).collect()
    }

    fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Sends a frame, given as JSON.
    pub(super) fn send(&self, connection: &Rc<Connection>, json: &[u8]) {
        self.send_frame(connection, connection.client.codec.frame(json));
    }

    /// Sends a WebSocket frame.
    pub(super) fn send_frame(&self, connection: &Rc<Connection>, frame: Bytes) {
        if connection.is_closing() {
            return;
        }
        let length = frame.len();
        if !connection.push(frame) {
            return self.close(connection, Closing::TooSlow);
        }
        self.metrics().frames_sent.inc();
        let waiting = self.live.registry.add_waiting(length);
        self.mark(connection);
        if waiting > self.live.options.buffer_bytes {
            self.make_room();
        }
    }

    /// Notes that a connection is to be written.
    fn mark(&self, connection: &Rc<Connection>) {
        // The task of a stalled connection writes it.
        if !connection.is_stalled() && !connection.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(Rc::clone(connection));
            self.flush.notify_one();
        }
    }

    /// Writes what waits on a connection.
    pub(super) fn flush(&self, connection: &Connection) {
        let written = connection.flush(self.tick());
        self.live.registry.remove_waiting(written);
    }

    /// Closes the connection of this thread on which most bytes wait, because all connections together have too many.
    fn make_room(&self) {
        let all = self.all();
        let stalled = all.iter().filter(|it| it.is_stalled() && !it.is_closing());
        if let Some(fullest) = stalled.max_by_key(|it| it.waiting_bytes()) {
            self.close(fullest, Closing::TooSlow);
        }
    }

    /// Closes a connection: nothing more is read, and nothing more is sent but a close frame.
    pub(super) fn close(&self, connection: &Rc<Connection>, closing: Closing) {
        if connection.is_closing() {
            return;
        }
        self.metrics().closed(closing.label());
        self.leave(connection);
        let is_slow = !closing.sends_rest();
        let ticks = if is_slow { SLOW_CLOSE_TICKS } else { CLOSE_TICKS };
        connection.dropped_at.set(Some(self.tick() + ticks));
        let frame = message::close(closing.code(), closing.reason());
        if is_slow {
            let freed = connection.end_with(frame);
            match usize::try_from(freed) {
                Ok(freed) => self.live.registry.remove_waiting(freed),
                Err(_) => drop(self.live.registry.add_waiting(freed.unsigned_abs())),
            }
        } else {
            let length = frame.len();
            if connection.push(frame) {
                self.live.registry.add_waiting(length);
            }
        }
        connection.end_waits();
        self.mark(connection);
        connection.wake.notify_one();
    }

    async fn read_mailbox(self: &Rc<Self>) {
        loop {
            self.mailbox.filled().await;
            let News { streams, players, replaced } = self.mailbox.take();
            for stream in &streams {
                self.distribute(stream);
            }
            for player in players {
                self.refresh_player(player);
            }
            for number in replaced {
                let connection = self.connections.borrow().get(&number).cloned();
                if let Some(connection) = connection {
                    self.close(&connection, Closing::Replaced);
                }
            }
        }
    }

    async fn write_forever(&self) {
        loop {
            self.flush.notified().await;
            loop {
                let batch: Vec<_> = {
                    let mut dirty = self.dirty.borrow_mut();
                    let count = dirty.len().min(WRITES_IN_A_ROW);
                    dirty.drain(..count).collect()
                };
                if batch.is_empty() {
                    break;
                }
                for connection in batch {
                    connection.is_dirty.set(false);
                    self.flush(&connection);
                }
                yield_now().await;
            }
        }
    }

    async fn sweep_forever(self: &Rc<Self>) {
        let mut ticks = self.live.ticks.subscribe();
        while ticks.changed().await.is_ok() {
            let now = *ticks.borrow_and_update();
            for tick in self.tick() + 1..=now {
                self.tick.set(tick);
                for (index, connection) in self.all().iter().enumerate() {
                    self.sweep(connection, tick);
                    if index % WRITES_IN_A_ROW == WRITES_IN_A_ROW - 1 {
                        yield_now().await;
                    }
                }
            }
        }
    }

    /// Looks after a connection once a tick.
    fn sweep(self: &Rc<Self>, connection: &Rc<Connection>, tick: u32) {
        if let Some(dropped_at) = connection.dropped_at.get() {
            if tick >= dropped_at {
                connection.is_over.set(true);
                connection.wake.notify_one();
            }
            return;
        }
        let since = |then: u32| tick.saturating_sub(then);
        let expires_at = connection.session.borrow().as_ref().map(|session| session.expires_at);
        if expires_at.is_some_and(|at| self.services().game.now() >= at) {
            self.close(connection, Closing::TokenExpired);
        } else if connection.stalled_since().is_some_and(|then| since(then) >= STALLED_TICKS) {
            self.close(connection, Closing::TooSlow);
        } else if since(connection.heard_at.get()) >= SILENT_TICKS
            || (expires_at.is_none() && since(connection.opened_at) >= HELLO_TICKS)
        {
            self.close(connection, Closing::Silent);
        }
        // Each connection has its own slot, at random because ids are.
        let slot = connection.id.as_u128();
        let is_due = |ticks: u32| (slot % u128::from(ticks)) == u128::from(tick % ticks);
        if is_due(PING_TICKS) && !connection.is_stalled() {
            self.send_frame(connection, message::ping());
        }
        if is_due(STATE_TICKS) {
            // This also notes that the player is present.
            self.refresh_state(connection);
        }
    }

    /// Closes the connections of sessions and players that have ended.
    async fn end_revoked(&self) {
        let accounts = Arc::clone(&self.services().accounts);
        let mut revocations = accounts.revocations().watch();
        while revocations.changed().await.is_ok() {
            for connection in self.all() {
                let identity = connection.session.borrow().as_ref().map(|it| it.identity);
                let closing = identity.and_then(|it| Closing::of_session(&accounts, it));
                if let Some(closing) = closing {
                    self.close(&connection, closing);
                }
            }
        }
    }

    /// When the server stops: tells all clients, and closes each connection at a random time.
    async fn drain(&self) {
        let mut window = self.live.draining.subscribe();
        let Ok(window) = window.wait_for(Option::is_some).await.map(|it| *it) else { return };
        let window = window.unwrap_or_default();
        let mut waiting: Vec<(Duration, Rc<Connection>)> = Vec::new();
        for connection in self.all() {
            let millis = rand::rng().random_range(0..=MOST_RECONNECT_MILLIS);
            self.send(&connection, &server::goaway(millis));
            waiting.push((window.mul_f64(rand::rng().random_range(0.0..1.0)), connection));
        }
        let began = tokio::time::Instant::now();
        while !waiting.is_empty() {
            sleep(DRAIN_INTERVAL).await;
            let elapsed = began.elapsed();
            waiting.retain(|(at, connection)| {
                // Calls in flight are answered first.
                let is_due = elapsed >= window || (elapsed >= *at && connection.calls.get() == 0);
                if is_due {
                    self.close(connection, Closing::Draining);
                }
                !is_due
            });
        }
    }
}
