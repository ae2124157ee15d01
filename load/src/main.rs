//! `idlewatt-load`: simulates many players, each with one request per second, and prints the latencies.
//!
//! The load is an open loop: each request has a due time that does not depend on earlier answers, and its latency
//! counts from its due time. So a stall of the server increases the latency of every request that was due during the
//! stall. A generator that waits for each answer before it schedules the next request would hide that.

mod crowd;
mod flood;
mod http;
mod player;
mod plot;
mod profile;
mod record;
mod report;
mod sockets;
mod websocket;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::LocalSet;
use tokio::time::Instant;

use http::Target;
use player::Plan;
use record::Records;

/// Simulates thousands of players of Idlewatt
#[derive(Debug, Parser)]
#[command(name = "idlewatt-load", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Address of the server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    base: String,
    /// Players, each with its own connection and one request per second
    #[arg(long, default_value_t = 1000)]
    players: usize,
    /// Seconds until all players have joined
    #[arg(long, default_value_t = 10)]
    ramp: u64,
    /// Seconds for which all players play
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// File for the plot of the latencies
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Largest number of failed requests for the exit code 0
    #[arg(long, default_value_t = 0)]
    max_failures: u64,
    /// Largest 99th percentile in milliseconds for the exit code 0
    #[arg(long)]
    max_p99: Option<f64>,
}

/// The other commands.
#[derive(Debug, Subcommand)]
enum Other {
    /// Send clicks at a fixed rate, and measure accepted and refused ones separately
    Flood(flood::Arguments),
    /// Send clicks of players who each have one request in flight, to several servers in turn
    Crowd(crowd::Arguments),
    /// Open sockets, send events, and measure how long each takes to each socket
    Sockets(sockets::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match LocalSet::new().block_on(&runtime, run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    report::print_line(&format!("idlewatt-load: {error}"));
    ExitCode::FAILURE
}

/// Returns whether no threshold was exceeded.
async fn run(arguments: &Arguments) -> Result<bool, String> {
    match &arguments.other {
        Some(Other::Flood(arguments)) => {
            allow_connections(arguments.connections)?;
            return flood::run(arguments).await.map(|()| true);
        }
        Some(Other::Crowd(arguments)) => {
            allow_connections(arguments.players * arguments.base.len())?;
            return crowd::run(arguments).await.map(|()| true);
        }
        Some(Other::Sockets(arguments)) => {
            allow_connections(arguments.sockets)?;
            return sockets::run(arguments).await;
        }
        None => {}
    }
    allow_connections(arguments.players)?;
    let target = Rc::new(Target::parse(&arguments.base)?);
    let profile = profile::Profile::survey(&target).await?;
    let tokens = player::sign_in(&target, arguments.players).await?;
    let begin = Instant::now() + Duration::from_millis(100);
    let ramp = Duration::from_secs(arguments.ramp);
    let full = begin + ramp;
    let end = full + Duration::from_secs(arguments.seconds);
    let records = Rc::new(RefCell::new(Records::new(begin, full)));
    let players: Vec<_> = tokens
        .into_iter()
        .enumerate()
        .map(|(number, token)| {
            let plan = Plan {
                // Players join at even intervals, so their requests are spread over each second.
                first: begin
                    + ramp.mul_f64(number as f64 / arguments.players as f64)
                    + phase(number),
                end,
                seed: number as u64,
                profile,
            };
            let play = player::play(Rc::clone(&target), token, plan, Rc::clone(&records));
            tokio::task::spawn_local(play)
        })
        .collect();
    let progress = tokio::task::spawn_local(report::progress(Rc::clone(&records), end));
    tokio::select! {
        () = async { for player in players { drop(player.await); } } => {}
        _ = tokio::signal::ctrl_c() => report::print_line("\nstopped before the end"),
    }
    progress.abort();
    let records = records.borrow();
    report::summarize(&records);
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::draw(&records, arguments.players))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        report::print_line(&format!("The plot is in {}.", path.display()));
    }
    let p99 = records.all().waited.value_at_quantile(0.99) as f64 / 1e3;
    let slow = arguments.max_p99.is_some_and(|most| p99 > most);
    Ok(records.failures() <= arguments.max_failures && !slow)
}

/// A fraction of a second that differs between players, for ramps that are shorter than a second.
fn phase(number: usize) -> Duration {
    Duration::from_micros(number as u64 * 618_034 % 1_000_000)
}

/// Raises the limit of open files, because each player has a connection and many shells allow only 1024 files.
fn allow_connections(players: usize) -> Result<(), String> {
    let needed = players as u64 + 64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!("{needed} open files are required: raise the hard limit (ulimit -Hn)"));
    }
    limit.current = Some(needed);
    setrlimit(Resource::Nofile, limit).map_err(|error| error.to_string())
}
