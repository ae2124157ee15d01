//! The task of a connection: reads frames, and does what they ask for.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{LocalBoxFuture, OptionFuture};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

use super::calls;
use super::closing::Closing;
use super::connection::{Client, Connection, Session};
use super::message::{self, Message, Reader};
use super::protocol::{self, Call, Codec, Frame, Hello, Unreadable, server};
use super::topics::{STATE, StateTopic};
use super::worker::{PING_TICKS, Worker};
use crate::api::problem::{Code, Problem};
use crate::api::wire::rfc3339;
use crate::id::random_id;
use crate::limit::{Key, Policy};

/// After so many frames in a row that cannot be read, the connection is closed.
const MOST_UNREADABLE: u8 = 10;
/// How much is read by one system call.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where arriving bytes are read to. All connections of a thread share it.
    static SCRATCH: RefCell<Box<[u8; READ_BYTES]>> = RefCell::new(Box::new([0; READ_BYTES]));
}

/// Something that a frame asks for and that takes time. Further frames wait for it.
type Command = LocalBoxFuture<'static, ()>;

/// Serves a connection until it ends. `early` is what the client sent together with its request for the upgrade.
pub async fn serve(worker: Rc<Worker>, client: Client, socket: TcpStream, early: Bytes) {
    let connection = Connection::new(random_id(), client, socket, worker.tick());
    let connection = Rc::new(connection);
    worker.add(&connection);
    let mut reader = Reader::default();
    reader.add(&early);
    let mut command: Option<Command> = None;
    while !connection.is_over.get() {
        consume_budget().await;
        if command.is_none() {
            match reader.next() {
                Ok(Some(message)) => {
                    command = worker.receive(&connection, message);
                    continue;
                }
                Ok(None) => {}
                Err(fault) => {
                    worker.close(&connection, Closing::Fault(fault));
                    // Nothing after it can be read. What still arrives is dropped.
                    reader = Reader::default();
                }
            }
        }
        if connection.is_closed_by_client.get() && connection.waiting_bytes() == 0 {
            break;
        }
        let socket = connection.socket();
        tokio::select! {
            Some(()) = OptionFuture::from(command.as_mut()) => command = None,
            ready = socket.readable(), if command.is_none() => {
                if ready.is_err() || !receive_bytes(&worker, &connection, &mut reader) {
                    break;
                }
            }
            ready = socket.writable(), if connection.is_stalled() => {
                if ready.is_err() {
                    break;
                }
                worker.flush(&connection);
            }
            () = connection.wake.notified() => {}
        }
    }
    if connection.waiting_bytes() > 0 {
        // The kernel frees what it still stores for a client that does not read.
        let _ = connection.socket().set_zero_linger();
    }
    worker.remove(&connection);
}

/// Reads what has arrived. Returns false if the client has ended the connection.
fn receive_bytes(worker: &Worker, connection: &Connection, reader: &mut Reader) -> bool {
    SCRATCH.with_borrow_mut(|scratch| match connection.socket().try_read(&mut scratch[..]) {
        Ok(0) => false,
        Ok(count) => {
            connection.heard_at.set(worker.tick());
            if !connection.is_closing() || !connection.is_closed_by_client.get() {
                reader.add(&scratch[..count]);
            }
            true
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    })
}

impl Worker {
    /// Handles a message.
    fn receive(self: &Rc<Self>, connection: &Rc<Connection>, message: Message) -> Option<Command> {
        if let Message::Close(code) = message {
            connection.is_closed_by_client.set(true);
            self.close(connection, Closing::Client(code));
            return None;
        }
        if connection.is_closing() {
            return None;
        }
        let payload = match (message, connection.client.codec) {
            (Message::Ping(payload), _) => {
                self.send_frame(connection, message::pong(&payload));
                return None;
            }
            (Message::Text(payload), Codec::Json)
            | (Message::Binary(payload), Codec::MessagePack) => payload,
            (Message::TooLong, _) => {
                let detail = "A frame may have at most 16 KiB.";
                self.refuse(connection, None, &Problem::new(Code::PayloadTooLarge, detail));
                return None;
            }
            (Message::Text(_) | Message::Binary(_), codec) => {
                let expected = match codec {
                    Codec::Json => "must be a text frame",
                    Codec::MessagePack => "must be a binary frame",
                };
                self.refuse(connection, None, &Problem::malformed("frame", expected));
                return None;
            }
            (Message::Pong | Message::Close(_), _) => return None,
        };
        match protocol::read(connection.client.codec, &payload) {
            Ok((id, frame)) => {
                connection.unreadable.set(0);
                self.handle(connection, id, frame)
            }
            Err(Unreadable { id, problem }) => {
                self.refuse(connection, id, &problem);
                None
            }
        }
    }

    /// Refuses a frame that cannot be read.
    fn refuse(&self, connection: &Rc<Connection>, id: Option<u64>, problem: &Problem) {
        self.send(connection, &server::problem(id, None, problem));
        connection.unreadable.set(connection.unreadable.get() + 1);
        if connection.unreadable.get() >= MOST_UNREADABLE {
            self.close(connection, Closing::Unreadable);
        }
    }

    fn problem(&self, connection: &Rc<Connection>, id: Option<u64>, problem: &Problem) {
        self.send(connection, &server::problem(id, None, problem));
    }

    fn handle(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<u64>,
        frame: Frame,
    ) -> Option<Command> {
        self.metrics().frames_received.inc();
        let is_signed_in = connection.session.borrow().is_some();
        let (worker, connection) = (Rc::clone(self), Rc::clone(connection));
        match frame {
            Frame::Hello(_) if is_signed_in => {
                worker.problem(&connection, id, &Problem::malformed("type", "was sent before"));
            }
            Frame::Hello(hello) => {
                return Some(Box::pin(async move { worker.hello(&connection, id, hello).await }));
            }
            Frame::Ping => worker.answer_ping(&connection, id),
            _ if !is_signed_in => {
                let detail = "The first frame must be hello.";
                let problem = Problem::new(Code::Unauthenticated, detail);
                worker.problem(&connection, id, &problem);
            }
            Frame::Subscribe(streams) => {
                return Some(Box::pin(async move {
                    if worker.take_token(&connection, id).await {
                        worker.subscribe(&connection, id, streams, None);
                    }
                }));
            }
            Frame::Unsubscribe(streams) => {
                for asked in streams {
                    worker.unsubscribe(&connection, &asked.stream);
                    let frame = server::unsubscribed(id, &asked.stream, "asked");
                    worker.send(&connection, &frame);
                }
            }
            Frame::Topic { on, off } => {
                return Some(Box::pin(async move {
                    if worker.take_token(&connection, id).await {
                        worker.switch_topics(&connection, id, &on, &off);
                    }
                }));
            }
            Frame::Call(call) => worker.call(&connection, id.unwrap_or_default(), call),
            Frame::Token(token) => worker.renew_token(&connection, id, &token),
            Frame::Typing => {}
        }
        None
    }

    /// Signs in.
    async fn hello(self: &Rc<Self>, connection: &Rc<Connection>, id: Option<u64>, hello: Hello) {
        let services = self.services();
        let Hello { token, epoch, topics, streams } = hello;
        let verified = match services.accounts.authenticate(&token) {
            Ok(verified) => verified,
            Err(error) => {
                let closing = match services.accounts.identify(&token) {
                    Ok(identity) => Closing::of_session(&services.accounts, identity),
                    Err(_) => None,
                };
                let closing = closing.unwrap_or_else(|| Closing::of_token(&error));
                self.problem(connection, id, &error.into());
                return self.close(connection, closing);
            }
        };
        let identity = verified.identity;
        if !self.take(connection, identity.player, id).await {
            return;
        }
        if let Some(closing) = Closing::of_session(&services.accounts, identity) {
            return self.close(connection, closing);
        }
        if connection.is_closing() {
            return;
        }
        let session = Session {
            identity,
            token: token.into(),
            expires_at: verified.expires_at,
            handle: services.game.handle(identity.player),
            state: None,
        };
        connection.session.replace(Some(Box::new(session)));
        self.sign_in(connection, identity.player);
        let welcome = server::welcome(
            &connection.id.to_string(),
            &identity.player.to_string(),
            &services.streams.epoch().to_string(),
            &rfc3339(services.game.now()),
            PING_TICKS,
        );
        self.send(connection, &welcome);
        self.switch(connection, id, &topics, true);
        self.subscribe(connection, id, streams, epoch);
    }

    /// Takes a token from the player's bucket. If there is none, the client gets a problem.
    async fn take_token(&self, connection: &Rc<Connection>, id: Option<u64>) -> bool {
        match connection.player() {
            Some(player) => {
                // The connection may have been closed meanwhile.
                self.take(connection, player, id).await && connection.player().is_some()
            }
            None => false,
        }
    }

    async fn take(&self, connection: &Rc<Connection>, player: uuid::Uuid, id: Option<u64>) -> bool {
        let limiter = &self.services().limiter;
        let verdict = limiter.check(Policy::Player, Key::player(player), 1).await;
        let refusal = verdict.and_then(|verdict| Problem::of_verdict(&verdict));
        if let Some(problem) = &refusal {
            self.problem(connection, id, problem);
        }
        refusal.is_none()
    }

    fn switch_topics(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<u64>,
        on: &[String],
        off: &[String],
    ) {
        if self.switch(connection, id, on, true) & self.switch(connection, id, off, false) {
            self.send(connection, &server::done(id));
        }
    }

    /// Switches topics on or off. Returns false, and tells the client, if there is no such topic.
    fn switch(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: Option<u64>,
        topics: &[String],
        on: bool,
    ) -> bool {
        let mut all_known = true;
        for topic in topics {
            if topic == STATE {
                self.switch_state(connection, on);
            } else {
                all_known = false;
                let problem = Problem::malformed("topics", format!("has no topic {topic:?}"));
                self.problem(connection, id, &problem);
            }
        }
        all_known
    }

    fn switch_state(self: &Rc<Self>, connection: &Rc<Connection>, on: bool) {
        {
            let mut session = connection.session.borrow_mut();
            let Some(session) = session.as_mut() else { return };
            let player = session.identity.player;
            match (on, session.state.is_some()) {
                (true, was_on) => {
                    if !was_on {
                        // First, so that no change falls between the watch and the first state.
                        self.services().game.watch(player, &self.watcher);
                    }
                    // The state is sent once whenever the topic is switched on.
                    session.state = Some(Rc::new(StateTopic::default()));
                }
                (false, true) => {
                    session.state = None;
                    self.services().game.unwatch(player, &self.watcher);
                }
                (false, false) => {}
            }
        }
        if on {
            self.refresh_state(connection);
        }
    }

    /// Answers a ping of the protocol, at most once a second.
    fn answer_ping(&self, connection: &Rc<Connection>, id: Option<u64>) {
        let tick = self.tick();
        if connection.answered_ping_at.replace(Some(tick)) != Some(tick) {
            let now = rfc3339(self.services().game.now());
            self.send(connection, &server::pong(id, &now));
        }
    }

    fn renew_token(&self, connection: &Rc<Connection>, id: Option<u64>, token: &str) {
        let Some(player) = connection.player() else { return };
        let verified = match self.services().accounts.authenticate(token) {
            Ok(verified) => verified,
            Err(error) => return self.problem(connection, id, &error.into()),
        };
        if verified.identity.player != player {
            return self.close(connection, Closing::Ended("unauthenticated"));
        }
        if let Some(session) = connection.session.borrow_mut().as_mut() {
            session.identity = verified.identity;
            session.expires_at = verified.expires_at;
            session.token = token.into();
        }
        self.send(connection, &server::done(id));
    }

    fn call(self: &Rc<Self>, connection: &Rc<Connection>, id: u64, call: Call) {
        let refusal = if connection.calls.get() >= calls::MOST_CALLS {
            Some(calls::too_many())
        } else {
            calls::refusal(&call)
        };
        if let Some(problem) = refusal {
            return self.send(connection, &calls::refused(id, &problem));
        }
        let token = connection.session.borrow().as_ref().map(|session| Rc::clone(&session.token));
        let Some(token) = token else { return };
        connection.calls.set(connection.calls.get() + 1);
        let answer = connection.client.calls.call(&token, call);
        let (worker, connection) = (Rc::clone(self), Rc::clone(connection));
        tokio::task::spawn_local(async move {
            let answer = answer.await;
            // A large answer waits for a client that reads slowly.
            if connection.room().await {
                worker.send(&connection, &calls::result(id, &answer));
            }
            connection.calls.set(connection.calls.get() - 1);
        });
    }
}
