//! `idlewatt-load`: plays as many players do, each with one request per second, and prints the latencies.
//!
//! The load is an open loop: a request is due at its time whether or not the one before was answered, and the latency
//! is the time since it was due. So a server that stalls is charged for all requests that were due meanwhile, which a
//! generator that waits for answers would never send.

mod crowd;
mod flood;
mod http;
mod player;
mod plot;
mod profile;
mod record;
mod report;

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

/// Plays Idlewatt as thousands of players do.
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
    /// Seconds until all have joined
    #[arg(long, default_value_t = 10)]
    ramp: u64,
    /// Seconds that all play
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// File for the plot of the latencies
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Failed requests beyond which the exit code is 1
    #[arg(long, default_value_t = 0)]
    max_failures: u64,
    /// Milliseconds of the 99th percentile beyond which the exit code is 1
    #[arg(long)]
    max_p99: Option<f64>,
}

/// The other commands.
#[derive(Debug, Subcommand)]
enum Other {
    /// Clicks at a fixed rate, however the server performs, with accepted and refused ones counted separately
    Flood(flood::Arguments),
    /// Clicks of players who each have one request in flight, at several servers in turn
    Crowd(crowd::Arguments),
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
    report::tell(&format!("idlewatt-load: {error}"));
    ExitCode::FAILURE
}

/// Returns whether the thresholds were kept.
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
                // Spread over the ramp, and therefore over every following second.
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
        _ = tokio::signal::ctrl_c() => report::tell("\nstopped early"),
    }
    progress.abort();
    let records = records.borrow();
    report::summarize(&records);
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::draw(&records, arguments.players))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        report::tell(&format!("The plot is in {}.", path.display()));
    }
    let p99 = records.all().waited.value_at_quantile(0.99) as f64 / 1e3;
    let slow = arguments.max_p99.is_some_and(|most| p99 > most);
    Ok(records.failures() <= arguments.max_failures && !slow)
}

/// A fraction of a second that differs between players, for ramps that are shorter than a second.
fn phase(number: usize) -> Duration {
    Duration::from_micros(number as u64 * 618_034 % 1_000_000)
}

/// Each player has a connection; most shells allow a thousand files.
fn allow_connections(players: usize) -> Result<(), String> {
    let needed = players as u64 + 64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!("{needed} open files are needed: raise the hard limit (ulimit -Hn)"));
    }
    limit.current = Some(needed);
    setrlimit(Resource::Nofile, limit).map_err(|error| error.to_string())
}
