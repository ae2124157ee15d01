//! Many sockets that follow streams, call the API, and continue after a disconnection; with the times from the sending of
//! an event to each socket. Every event must reach every socket once and in order.
//!
//! For comparisons the sockets can be those of a Socket.IO server (`bench/programs/socketio.mjs`) instead.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use memchr::memmem;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::http::{Connection, Request, Target};
use crate::report;
use crate::websocket::{Frame, WebSocket};

/// Sockets that are opened at the same time.
const AT_ONCE: usize = 128;
/// Addresses of this machine from which sockets are opened, 127.0.0.1 and following: each has its own ports.
const ADDRESSES: usize = 8;
/// The longest time that is measured, in microseconds.
const MOST_MICROS: u64 = 60_000_000;
/// How long the last events may take after the end.
const REST: Duration = Duration::from_secs(20);

/// The options of `sockets`.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
pub struct Arguments {
    /// Address of the server with the sockets
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub base: String,
    /// Address of the server that events are sent to, if it is another one
    #[arg(long)]
    pub publish: Option<String>,
    /// A file with one access token per line; they are used in turn
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// Number of sockets
    #[arg(long, default_value_t = 1000)]
    pub sockets: usize,
    /// Duration in seconds, after all sockets are open
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Secret of the operators, for sending events
    #[arg(long, env = "ADMIN_TOKEN", default_value = "")]
    pub admin_token: String,
    /// Announcements in flight: the next one is sent when all sockets have received one
    #[arg(long, default_value_t = 0)]
    pub in_flight: usize,
    /// Events per second, at even intervals
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Players that an event is sent to; 0 means an announcement to all
    #[arg(long, default_value_t = 0)]
    pub recipients: usize,
    /// Each socket calls the API once per second
    #[arg(long)]
    pub calls: bool,
    /// Sockets in pairs of one player: one clicks once per second, and the other is sent the player's state
    #[arg(long, conflicts_with = "calls")]
    pub pairs: bool,
    /// Disconnects all sockets after a second of sending, and measures how long they need to continue
    #[arg(long)]
    pub storm: bool,
    /// Sockets of these that stop reading once they are open
    #[arg(long, default_value_t = 0)]
    pub deaf: usize,
    /// The server is bench/programs/socketio.mjs
    #[arg(long)]
    pub socket_io: bool,
}

struct Crowd {
    target: Target,
    publish: Target,
    options: Options,
    began: Instant,
    opening: Semaphore,
    tally: RefCell<Tally>,
    /// Notified when something was received that someone may wait for.
    received: Notify,
    /// When all sockets were open; calls begin then.
    opened: Cell<Option<Instant>>,
    /// Whether all sockets are to disconnect once.
    storm: Cell<bool>,
    /// Notified when one of these changes.
    changed: Notify,
    players: RefCell<Vec<String>>,
    /// When each pair has clicked, until the other socket has the state.
    clicked: RefCell<Vec<Option<Instant>>>,
}

#[allow(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
struct Options {
    /// Sockets that read.
    readers: usize,
    deaf: usize,
    admin_token: String,
    recipients: usize,
    calls: bool,
    pairs: bool,
    socket_io: bool,
}

struct Tally {
    /// Microseconds from sending an event to its arrival at a socket.
    events: Histogram<u64>,
    /// Microseconds from a call to its result.
    calls: Histogram<u64>,
    /// Microseconds from a click on one socket to the state on the other one.
    states: Histogram<u64>,
    open: usize,
    caught_up: usize,
    failed_calls: u64,
    lost: u64,
    repeated: u64,
    closed: u64,
    /// Announcements in the order of their numbers: how many sockets each has reached.
    reached: Vec<usize>,
}

/// What a socket has received, which survives a disconnection.
#[derive(Default)]
struct Positions {
    epoch: String,
    own: i64,
    announcements: i64,
}

/// Opens the sockets, sends the events, and prints the results. Returns whether every event reached every socket once,
/// and no call failed.
pub async fn run(arguments: &Arguments) -> Result<bool, String> {
    let tokens = match &arguments.tokens {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .lines()
            .map(str::to_owned)
            .collect(),
        None => vec![String::new()],
    };
    let target = Target::parse(&arguments.base)?;
    let publish = Target::parse(arguments.publish.as_ref().unwrap_or(&arguments.base))?;
    let histogram =
        || Histogram::new_with_bounds(1, MOST_MICROS, 3).map_err(|error| error.to_string());
    let crowd = Rc::new(Crowd {
        target,
        publish,
        options: Options {
            readers: arguments.sockets - arguments.deaf.min(arguments.sockets),
            deaf: arguments.deaf,
            admin_token: arguments.admin_token.clone(),
            recipients: arguments.recipients,
            calls: arguments.calls,
            pairs: arguments.pairs,
            socket_io: arguments.socket_io,
        },
        began: Instant::now(),
        opening: Semaphore::new(AT_ONCE),
        tally: RefCell::new(Tally {
            events: histogram()?,
            calls: histogram()?,
            states: histogram()?,
            open: 0,
            caught_up: 0,
            failed_calls: 0,
            lost: 0,
            repeated: 0,
            closed: 0,
            reached: Vec::new(),
        }),
        received: Notify::new(),
        opened: Cell::new(None),
        storm: Cell::new(false),
        changed: Notify::new(),
        players: RefCell::default(),
        clicked: RefCell::new(vec![None; arguments.sockets]),
    });
    for number in 0..arguments.sockets {
        let player = if arguments.pairs { number / 2 } else { number };
        let token = tokens[player % tokens.len()].clone();
        let socket = follow(Rc::clone(&crowd), number, token);
        tokio::task::spawn_local(socket);
    }
    crowd.until(|tally| tally.open == arguments.sockets, Duration::from_mins(2)).await?;
    let opened = crowd.began.elapsed();
    crowd.opened.set(Some(Instant::now()));
    crowd.changed.notify_waiters();
    report::print_line(&format!("opened {} in {:.1} s", arguments.sockets, opened.as_secs_f64()));

    let begin = Instant::now();
    let end = begin + Duration::from_secs(arguments.seconds);
    let mut senders: Vec<_> = (0..arguments.in_flight)
        .map(|_| tokio::task::spawn_local(send_in_turn(Rc::clone(&crowd), end)))
        .collect();
    if arguments.rate > 0.0 {
        let period = Duration::from_secs_f64(1.0 / arguments.rate);
        senders.push(tokio::task::spawn_local(send_evenly(Rc::clone(&crowd), period, end)));
    }
    if arguments.storm {
        sleep_until(begin + Duration::from_secs(1)).await;
        crowd.tally.borrow_mut().caught_up = 0;
        crowd.storm.set(true);
        let dropped = Instant::now();
        crowd.changed.notify_waiters();
        crowd.until(|tally| tally.caught_up == arguments.sockets, Duration::from_mins(1)).await?;
        let seconds = dropped.elapsed().as_secs_f64();
        report::print_line(&format!("continued {} after {seconds:.2} s", arguments.sockets));
    }
    sleep_until(end).await;
    for sender in senders {
        sender.await.map_err(|error| error.to_string())??;
    }
    let all = |tally: &Tally| tally.reached.iter().all(|&count| count >= crowd.options.readers);
    let whole = crowd.until(all, REST).await.is_ok();
    let tally = crowd.tally.borrow();
    summarize(&tally, begin.elapsed(), whole);
    Ok(whole && tally.lost + tally.repeated + tally.failed_calls == 0)
}

impl Crowd {
    async fn until(&self, is_so: impl Fn(&Tally) -> bool, most: Duration) -> Result<(), String> {
        let end = Instant::now() + most;
        loop {
            let received = self.received.notified();
            if is_so(&self.tally.borrow()) {
                return Ok(());
            }
            if timeout_at(end, received).await.is_err() {
                let tally = self.tally.borrow();
                return Err(format!(
                    "not in time: {} open, {} continued, {} closed by the server",
                    tally.open, tally.caught_up, tally.closed
                ));
            }
        }
    }

    /// Microseconds since the start.
    fn micros(&self) -> u64 {
        micros_since(self.began)
    }
}

fn micros_since(time: Instant) -> u64 {
    u64::try_from(time.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn follow(crowd: Rc<Crowd>, number: usize, token: String) {
    let mut positions = Positions::default();
    let mut times = 0;
    loop {
        let failed = match session(&crowd, number, &token, &mut positions, times).await {
            // Told to disconnect; it opens again at once, to be as hard as possible for the server.
            Ok(()) => false,
            Err(error) => {
                let mut tally = crowd.tally.borrow_mut();
                tally.closed += 1;
                if tally.closed <= 5 {
                    drop(tally);
                    report::print_line(&format!("socket {number}: {error}"));
                }
                true
            }
        };
        crowd.received.notify_waiters();
        times += 1;
        if failed {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A connection from its opening to its end. Returns without an error if it was to disconnect.
async fn session(
    crowd: &Crowd,
    number: usize,
    token: &str,
    positions: &mut Positions,
    times: u32,
) -> Result<(), String> {
    let permit = crowd.opening.acquire().await.map_err(|error| error.to_string())?;
    let socket_io = crowd.options.socket_io;
    let path = if socket_io { "/socket.io/?EIO=4&transport=websocket" } else { "/api/v1/live" };
    let is_deaf = number < crowd.options.deaf;
    let mut socket = WebSocket::open(&crowd.target, path, number % ADDRESSES, is_deaf).await?;
    let first =
        if socket_io { "40".to_owned() } else { hello(token, positions, crowd.options.pairs) };
    socket.send(&first).await?;
    let expected = if socket_io { 1 } else { 3 };
    let mut session =
        Session { crowd, number, positions, times, expected, heads: [0, 0], asked: None };
    let mut permit = Some(permit);
    let mut is_counted = false;
    // Spread over the second, as the calls of players are.
    let phase = Duration::from_micros(number as u64 * 618_034 % 1_000_000);
    let mut turn = 0;
    loop {
        // Before the conditions are looked at, so that no change falls between.
        let changed = crowd.changed.notified();
        if session.expected == 0 {
            drop(permit.take());
            if times == 0 && crowd.storm.get() {
                return Ok(());
            }
            if !is_counted && session.has_all() {
                is_counted = true;
                crowd.counts(times);
                if is_deaf {
                    pending::<()>().await;
                }
            }
        }
        let calls = session.calls() && session.expected == 0 && session.asked.is_none();
        let due = crowd.opened.get().map(|opened| opened + phase + Duration::from_secs(turn));
        let due = due.filter(|_| calls);
        let frame = tokio::select! {
            frame = socket.next() => frame?,
            () = sleep_until(due.unwrap_or(crowd.began)), if due.is_some() => {
                socket.send(session.call(due.unwrap_or(crowd.began))).await?;
                turn += 1;
                continue;
            }
            () = changed => continue,
        };
        match frame {
            Frame::Text(text) => {
                if let Some(answer) = session.receive(&text)? {
                    socket.send(&answer).await?;
                }
            }
            Frame::Ping(payload) => socket.pong(&payload).await?,
            Frame::Close(code) => return Err(format!("closed with {code}")),
        }
    }
}

/// What a connection waits for.
struct Session<'a> {
    crowd: &'a Crowd,
    number: usize,
    positions: &'a mut Positions,
    /// How often the socket was connected before.
    times: u32,
    /// Answers until all streams are followed.
    expected: u32,
    /// The heads of the announcements and of the player's own stream when they were followed.
    heads: [i64; 2],
    /// When the call in flight was due.
    asked: Option<Instant>,
}

impl Session<'_> {
    /// Whether everything has arrived that was missed.
    fn has_all(&self) -> bool {
        self.positions.announcements >= self.heads[0] && self.positions.own >= self.heads[1]
    }

    fn calls(&self) -> bool {
        self.crowd.options.calls || (self.crowd.options.pairs && self.number.is_multiple_of(2))
    }

    /// The next call, which was due at this time.
    fn call(&mut self, due: Instant) -> &'static str {
        self.asked = Some(due);
        if !self.crowd.options.pairs {
            return r#"{"type":"call","id":1,"method":"GET","path":"/me"}"#;
        }
        self.crowd.clicked.borrow_mut()[self.number / 2] = Some(due);
        r#"{"type":"call","id":1,"method":"POST","path":"/me/clicks","body":{"clicks":1}}"#
    }

    /// Takes a frame of the server. Returns the answer to it.
    fn receive(&mut self, text: &[u8]) -> Result<Option<String>, String> {
        if text.starts_with(b"{\"type\":\"event\"") || text.starts_with(b"42") {
            received_event(self.crowd, text, self.positions);
        } else if text == b"2" {
            // The heartbeat of Engine.IO.
            return Ok(Some("3".to_owned()));
        } else if text.starts_with(b"40") {
            self.expected -= 1;
        } else if text.starts_with(b"{\"type\":\"state\"") {
            let clicked = self.number % 2 == 1;
            let clicked = clicked.then(|| self.crowd.clicked.borrow_mut()[self.number / 2].take());
            if let Some(clicked) = clicked.flatten() {
                self.crowd.tally.borrow_mut().states.saturating_record(micros_since(clicked));
            }
        } else if has(text, "\"type\":\"result\"") {
            self.crowd.answered(self.asked.take(), text);
        } else if has(text, "\"type\":\"welcome\"") {
            self.expected -= 1;
            return Ok(Some(self.welcomed(text)));
        } else if has(text, "\"type\":\"subscribed\"") {
            self.expected -= 1;
            self.subscribed(text);
        } else if has(text, "\"type\":\"problem\"") {
            return Err(String::from_utf8_lossy(text).into_owned());
        }
        Ok(None)
    }

    fn welcomed(&mut self, text: &[u8]) -> String {
        self.positions.epoch = text_after(text, "\"epoch\":\"").unwrap_or_default();
        let player = text_after(text, "\"player_id\":\"").unwrap_or_default();
        let own = asked_stream(&format!("player:{player}"), self.positions.own, self.times);
        if self.times == 0 {
            self.crowd.players.borrow_mut().push(player);
        }
        format!(r#"{{"type":"subscribe","streams":[{own}]}}"#)
    }

    fn subscribed(&mut self, text: &[u8]) {
        let after = number_after(text, "\"after\":").unwrap_or_default();
        let is_own = has(text, "\"player:");
        self.heads[usize::from(is_own)] = number_after(text, "\"head\":").unwrap_or_default();
        match (self.times, is_own) {
            (0, true) => self.positions.own = after,
            (0, false) => self.positions.announcements = after,
            _ => {}
        }
    }
}

impl Crowd {
    /// A socket has opened, and has everything that it missed.
    fn counts(&self, times: u32) {
        let mut tally = self.tally.borrow_mut();
        tally.open += usize::from(times == 0);
        tally.caught_up += 1;
        self.received.notify_waiters();
    }

    fn answered(&self, asked: Option<Instant>, text: &[u8]) {
        let mut tally = self.tally.borrow_mut();
        if let Some(asked) = asked {
            tally.calls.saturating_record(micros_since(asked));
        }
        tally.failed_calls += u64::from(number_after(text, "\"status\":") != Some(200));
    }
}

fn hello(token: &str, positions: &Positions, state: bool) -> String {
    let topics = if state { r#""state""# } else { "" };
    let first = positions.epoch.is_empty();
    let epoch = if first { String::new() } else { format!(r#""epoch":"{}","#, positions.epoch) };
    let stream = asked_stream("announcements", positions.announcements, u32::from(!first));
    format!(
        r#"{{"type":"hello","token":"{token}",{epoch}"topics":[{topics}],"streams":[{stream}]}}"#
    )
}

fn asked_stream(stream: &str, after: i64, times: u32) -> String {
    if times == 0 {
        format!(r#"{{"stream":"{stream}"}}"#)
    } else {
        format!(r#"{{"stream":"{stream}","after":{after}}}"#)
    }
}

fn received_event(crowd: &Crowd, text: &[u8], positions: &mut Positions) {
    let mut tally = crowd.tally.borrow_mut();
    let sequence = number_after(text, "\"sequence\":").unwrap_or_default();
    let is_own = has(text, "\"stream\":\"player:");
    let position = if is_own { &mut positions.own } else { &mut positions.announcements };
    if crowd.options.socket_io && *position == 0 {
        *position = sequence - 1;
    }
    if sequence <= *position {
        tally.repeated += 1;
        return;
    }
    tally.lost += u64::try_from(sequence - *position - 1).unwrap_or_default();
    *position = sequence;
    if let Some(sent) = number_after(text, "\"sent\":") {
        let late = crowd.micros().saturating_sub(u64::try_from(sent).unwrap_or_default());
        tally.events.saturating_record(late);
    }
    if let Some(number) = number_after(text, "\"number\":")
        && let Ok(number) = usize::try_from(number)
        && let Some(count) = tally.reached.get_mut(number)
    {
        *count += 1;
        if *count >= crowd.options.readers {
            drop(tally);
            crowd.received.notify_waiters();
        }
    }
}

/// Sends an announcement, waits until all sockets have it, and sends the next one.
async fn send_in_turn(crowd: Rc<Crowd>, end: Instant) -> Result<(), String> {
    let mut connection = Connection::default();
    while Instant::now() < end {
        let number = send_event(&crowd, &mut connection, crowd.micros()).await?;
        crowd.until(|tally| tally.reached[number] >= crowd.options.readers, REST).await?;
    }
    Ok(())
}

/// Sends events at even intervals; the time of each counts from when it was due.
async fn send_evenly(crowd: Rc<Crowd>, period: Duration, end: Instant) -> Result<(), String> {
    let mut due = Instant::now();
    let mut sending = Vec::new();
    let connections = Rc::new(RefCell::new(Vec::<Connection>::new()));
    while due < end {
        sleep_until(due).await;
        let micros = u64::try_from((due - crowd.began).as_micros()).unwrap_or(u64::MAX);
        let (crowd, connections) = (Rc::clone(&crowd), Rc::clone(&connections));
        sending.push(tokio::task::spawn_local(async move {
            let mut connection = connections.borrow_mut().pop().unwrap_or_default();
            let sent = send_event(&crowd, &mut connection, micros).await;
            connections.borrow_mut().push(connection);
            sent
        }));
        due += period;
    }
    for sent in sending {
        sent.await.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Sends an event and returns its number.
async fn send_event(
    crowd: &Crowd,
    connection: &mut Connection,
    micros: u64,
) -> Result<usize, String> {
    let (number, to) = {
        let mut tally = crowd.tally.borrow_mut();
        let players = crowd.players.borrow();
        let number = tally.reached.len();
        let recipients = crowd.options.recipients;
        // Only announcements reach all sockets.
        tally.reached.push(if recipients == 0 { 0 } else { usize::MAX / 2 });
        let chosen: Vec<_> = (0..recipients)
            .map(|index| format!("\"{}\"", players[(number * recipients + index) % players.len()]))
            .collect();
        let all = "\"all\"".to_owned();
        let to =
            if recipients == 0 { all } else { format!(r#"{{"players":[{}]}}"#, chosen.join(",")) };
        (number, to)
    };
    let text = "x".repeat(100);
    let body = format!(
        r#"{{"to":{to},"type":"bench","priority":"low","title":{{"en":"b"}},"body":{{"en":"{text}"}},"data":{{"sent":{micros},"number":{number}}}}}"#
    );
    let path = if crowd.options.socket_io { "/publish" } else { "/api/v1/admin/notifications" };
    let request = Request {
        method: "POST",
        path,
        token: &crowd.options.admin_token,
        body: Some(&body),
        ..Request::default()
    };
    let answer = connection.send(&crowd.publish, &request).await;
    let answer = answer.map_err(|error| format!("an event cannot be sent: {error}"))?;
    if answer.status == 202 {
        Ok(number)
    } else {
        Err(format!("an event cannot be sent: {}", String::from_utf8_lossy(&answer.body)))
    }
}

fn summarize(tally: &Tally, lasted: Duration, whole: bool) {
    let seconds = lasted.as_secs_f64();
    let line = |name: &str, times: &Histogram<u64>| {
        if times.is_empty() {
            return;
        }
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        report::print_line(&format!(
            "{name} {}  {:.0}/s  p50 {:.2} ms  p99 {:.2} ms  max {:.2} ms",
            times.len(),
            times.len() as f64 / seconds,
            at(0.5),
            at(0.99),
            at(1.0),
        ));
    };
    line("deliveries", &tally.events);
    line("calls", &tally.calls);
    line("states", &tally.states);
    report::print_line(&format!(
        "lost {} repeated {} failed_calls {} closed {} whole {whole}",
        tally.lost, tally.repeated, tally.failed_calls, tally.closed
    ));
}

fn find(text: &[u8], what: &str) -> Option<usize> {
    memmem::find(text, what.as_bytes())
}

fn has(text: &[u8], what: &str) -> bool {
    find(text, what).is_some()
}

fn number_after(text: &[u8], name: &str) -> Option<i64> {
    let rest = &text[find(text, name)? + name.len()..];
    let length = rest.iter().position(|it| !it.is_ascii_digit()).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..length]).ok()?.parse().ok()
}

fn text_after(text: &[u8], name: &str) -> Option<String> {
    let rest = &text[find(text, name)? + name.len()..];
    let length = rest.iter().position(|&it| it == b'"')?;
    Some(String::from_utf8_lossy(&rest[..length]).into_owned())
}
