//! Sends clicks at a fixed rate that may exceed the server's capacity, and measures accepted and refused clicks.
//!
//! Clicks are due at even intervals, independent of how fast the server answers. Each uses a free connection. If none
//! is free, it waits for one, and this wait is part of the latencies `from due`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::http::{Answer, Connection, Request, Target, render};
use crate::record::{Latencies, Record, Times, latencies, micros};
use crate::report::{milliseconds, print_line};

/// The options of `flood`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address of the server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub base: String,
    /// A file with one access token per line; they are used in turn
    #[arg(long)]
    pub tokens: PathBuf,
    /// Clicks per second
    #[arg(long)]
    pub rate: u64,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 8000)]
    pub connections: usize,
    /// Duration of the test in seconds
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
}

/// How often to check for due clicks.
const TICK: Duration = Duration::from_millis(1);
/// Connections that are opened at the same time.
const OPENED_AT_ONCE: usize = 64;

/// State that all connections share.
struct Flood {
    target: Target,
    /// Rendered requests, one per token.
    requests: Vec<String>,
    state: RefCell<State>,
}

struct State {
    /// Connections that wait for a click to be due.
    free: Vec<oneshot::Sender<Click>>,
    /// Clicks that wait for a connection.
    waiting: VecDeque<Click>,
    /// Whether the test has ended, so that no more clicks are sent.
    ended: bool,
    tally: Tally,
}

/// A click, and when it is due.
#[derive(Clone, Copy, Debug)]
struct Click {
    due: Instant,
    number: usize,
}

/// The results of the clicks.
pub struct Tally {
    accepted: Record,
    refused: Record,
    refused_by_status: BTreeMap<u16, u64>,
    with_retry_after: u64,
    failed: BTreeMap<String, u64>,
    /// How long after it was due each click was sent, in microseconds: it waited for a connection or for this program.
    late: Latencies,
    /// The largest number of clicks that waited for a connection.
    most_waiting: usize,
}

impl Tally {
    /// A tally without results.
    pub fn new() -> Self {
        Self {
            accepted: Record::new(),
            refused: Record::new(),
            refused_by_status: BTreeMap::new(),
            with_retry_after: 0,
            failed: BTreeMap::new(),
            late: latencies(),
            most_waiting: 0,
        }
    }

    /// Records the result of a click.
    pub fn record(&mut self, times: Times, result: &std::io::Result<Answer>) {
        self.late.saturating_record(micros(times.due, times.sent));
        match result {
            Ok(answer) if answer.status == 200 => self.accepted.add(times),
            Ok(answer) if answer.status == 503 || answer.status == 429 => {
                self.refused.add(times);
                *self.refused_by_status.entry(answer.status).or_default() += 1;
                self.with_retry_after += u64::from(answer.retry_after.is_some());
            }
            Ok(answer) => *self.failed.entry(answer.status.to_string()).or_default() += 1,
            Err(error) => *self.failed.entry(error.kind().to_string()).or_default() += 1,
        }
    }
}

/// Sends the clicks and prints the results.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let target = Target::parse(&arguments.base)?;
    let requests = requests(&target, &arguments.tokens)?;
    let state =
        State { free: Vec::new(), waiting: VecDeque::new(), ended: false, tally: Tally::new() };
    let flood = Rc::new(Flood { target, requests, state: RefCell::new(state) });
    let connections = connect(&flood, arguments.connections).await?;
    let workers: Vec<_> = connections
        .into_iter()
        .map(|connection| tokio::task::spawn_local(run_worker(Rc::clone(&flood), connection)))
        .collect();
    // Lets every worker register its connection as free before the first click is due.
    sleep(TICK).await;
    let (began, busy) = (Instant::now(), processor_time());
    send_due_clicks(&flood, arguments, began).await;
    let (elapsed, busy) = (began.elapsed(), processor_time().saturating_sub(busy));
    let never_sent = stop(&mut flood.state.borrow_mut());
    for worker in workers {
        worker.await.map_err(|error| error.to_string())?;
    }
    let tally = &flood.state.borrow().tally;
    summarize(tally, elapsed);
    print_line(&format!(
        "clicks were sent {:.2} ms (median) and {:.2} ms (99th percentile) after they were due; this program used {:.0} % of \
        a core; at most {} clicks waited for a connection, {never_sent} were never sent",
        milliseconds(&tally.late, 0.5),
        milliseconds(&tally.late, 0.99),
        busy.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
        tally.most_waiting
    ));
    Ok(())
}

/// A rendered click request for each token of a file.
pub fn requests(target: &Target, path: &Path) -> Result<Vec<String>, String> {
    let tokens =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let request = |token| Request {
        method: "POST",
        path: "/api/v1/me/clicks",
        token,
        body: Some(r#"{"clicks":5}"#),
        ..Request::default()
    };
    let requests: Vec<_> = tokens.lines().map(|token| render(target, &request(token))).collect();
    if requests.is_empty() {
        return Err(format!("{} contains no tokens", path.display()));
    }
    Ok(requests)
}

async fn connect(flood: &Rc<Flood>, number: usize) -> Result<Vec<Connection>, String> {
    let mut connections = Vec::with_capacity(number);
    while connections.len() < number {
        let some = (number - connections.len()).min(OPENED_AT_ONCE);
        let opening: Vec<_> = (0..some)
            .map(|index| {
                let flood = Rc::clone(flood);
                let number = connections.len() + index;
                tokio::task::spawn_local(async move {
                    let mut connection = Connection::default();
                    // Sends a request, because the server closes connections on which no request arrives.
                    let request = &flood.requests[number % flood.requests.len()];
                    connection.send_text(&flood.target, request).await.map(|_| connection)
                })
            })
            .collect();
        for connection in opening {
            let connection = connection.await.map_err(|error| error.to_string())?;
            connections.push(connection.map_err(|error| format!("cannot connect: {error}"))?);
        }
    }
    Ok(connections)
}

/// Hands out clicks when they are due, until all were due.
async fn send_due_clicks(flood: &Flood, arguments: &Arguments, began: Instant) {
    let total = arguments.rate * arguments.seconds;
    let interval = 1.0 / arguments.rate as f64;
    let mut number = 0;
    while number < total {
        let due_by_now = (began.elapsed().as_secs_f64() * arguments.rate as f64) as u64;
        {
            let mut state = flood.state.borrow_mut();
            while number < due_by_now.min(total) {
                let due = began + Duration::from_secs_f64(number as f64 * interval);
                hand_out(&mut state, Click { due, number: number as usize });
                number += 1;
            }
            state.tally.most_waiting = state.tally.most_waiting.max(state.waiting.len());
        }
        sleep(TICK).await;
    }
}

/// Makes every worker end after the click that it has sent. Returns how many clicks were not sent.
fn stop(state: &mut State) -> usize {
    state.ended = true;
    state.free.clear();
    std::mem::take(&mut state.waiting).len()
}

/// Gives a click to a free connection, or queues it.
fn hand_out(state: &mut State, click: Click) {
    while let Some(free) = state.free.pop() {
        if free.send(click).is_ok() {
            return;
        }
    }
    state.waiting.push_back(click);
}

/// Sends clicks over one connection until the end of the test.
async fn run_worker(flood: Rc<Flood>, mut connection: Connection) {
    loop {
        let next = flood.state.borrow_mut().waiting.pop_front();
        let click = match next {
            Some(click) => click,
            None if flood.state.borrow().ended => return,
            None => {
                let (free, click) = oneshot::channel();
                flood.state.borrow_mut().free.push(free);
                let Ok(click) = click.await else { return };
                click
            }
        };
        let request = &flood.requests[click.number % flood.requests.len()];
        let sent = Instant::now();
        let result = connection.send_text(&flood.target, request).await;
        let times = Times { due: click.due, sent, answered: Instant::now() };
        flood.state.borrow_mut().tally.record(times, &result);
    }
}

/// Prints a tally.
pub fn summarize(tally: &Tally, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    print_line("milliseconds          count     a second       p50       p99     p99.9       max");
    for (name, record) in [("accepted", &tally.accepted), ("refused", &tally.refused)] {
        for (from, latencies) in [("due", &record.waited), ("sent", &record.served)] {
            print_line(&format!(
                "{name:8} from {from:4} {:9} {:12.0} {:9.2} {:9.2} {:9.2} {:9.2}",
                latencies.len(),
                latencies.len() as f64 / seconds,
                milliseconds(latencies, 0.5),
                milliseconds(latencies, 0.99),
                milliseconds(latencies, 0.999),
                milliseconds(latencies, 1.0),
            ));
        }
    }
    for (status, count) in &tally.refused_by_status {
        print_line(&format!("{count} refused with {status}"));
    }
    print_line(&format!(
        "{} of {} refusals had Retry-After; {} failed",
        tally.with_retry_after,
        tally.refused.waited.len(),
        tally.failed.values().sum::<u64>()
    ));
    for (what, count) in &tally.failed {
        print_line(&format!("  {count:6} {what}"));
    }
}

/// The processor time that this process has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
