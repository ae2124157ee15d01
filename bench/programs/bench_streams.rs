//! Measures streams of events on the database of `DATABASE_URL`, for bench/streams.
//!
//! `bench_streams append STREAMS SECONDS`: 64 writers with one event in flight each, to random streams; all events that wait
//! are appended by one transaction. `bench_streams read SECONDS`: reads 10 missed events of each of 20 streams, and the heads
//! alone.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark uses the system clock, and prints its result"
)]

use std::time::{Duration, Instant, SystemTime};

use idlewatt::config::{Config, environment};
use idlewatt::domain::Timestamp;
use idlewatt::store::streams::Range;
use idlewatt::store::{Error, Store, StoreOptions};
use rand::RngExt;
use tokio::sync::{mpsc, oneshot};

const WRITERS: usize = 64;
const MAX_BATCH: usize = 512;
/// As long as an event of a chat.
const BODY: usize = 150;

/// An event of a stream, and the channel for its sequence.
struct Append {
    stream: String,
    answer: oneshot::Sender<i64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| -> Result<u64, Box<dyn std::error::Error>> {
        Ok(arguments.get(index).ok_or("an argument is missing")?.parse()?)
    };
    let source = environment().map_err(|fault| fault.to_string())?;
    let config = Config::load(&source).map_err(|faults| format!("{faults:?}"))?;
    let url = config.database.url.ok_or("DATABASE_URL is needed")?;
    let second = Duration::from_secs(5);
    let store = Store::new(StoreOptions {
        endpoint: url.connection.into(),
        pool_size: 4,
        pool_timeout: second,
        connect_timeout: second,
        statement_timeout: second,
    })?;
    match arguments.first().map(String::as_str) {
        Some("append") => append(store, number(1)?, Duration::from_secs(number(2)?)).await,
        Some("read") => read(&store, Duration::from_secs(number(1)?)).await,
        _ => Err("append or read?".into()),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn stream(number: u64) -> String {
    format!("bench:{number:08}")
}

async fn append(
    store: Store,
    streams: u64,
    span: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let (sender, waiting) = mpsc::channel::<Append>(WRITERS);
    let end = Instant::now() + span;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let stream = stream(rand::rng().random_range(0..streams));
                    let (answer, sequence) = oneshot::channel();
                    let sent = Instant::now();
                    if sender.send(Append { stream, answer }).await.is_err()
                        || sequence.await.is_err()
                    {
                        break;
                    }
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        })
        .collect();
    drop(sender);
    // In a task, as in a server: the first task of the runtime would share no thread with the writers, and would take
    // batches of half the size.
    let batches = tokio::spawn(append_batches(store, waiting)).await??;
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await?);
    }
    latencies.sort_unstable();
    let count = latencies.len();
    let percentile = |part: f64| latencies.get((count as f64 * part) as usize).copied();
    let millis = |part| percentile(part).unwrap_or_default().as_secs_f64() * 1000.0;
    let rate = count as f64 / span.as_secs_f64();
    let size = count as f64 / batches.max(1) as f64;
    println!("RESULT {rate:.0} {:.2} {:.2} {size:.1}", millis(0.5), millis(0.99));
    Ok(())
}

/// Appends all events that wait, until all writers have ended. Returns the number of transactions.
async fn append_batches(store: Store, mut waiting: mpsc::Receiver<Append>) -> Result<u64, Error> {
    let (mut batches, mut batch) = (0, Vec::new());
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let names = batch.iter().map(|event| event.stream.clone()).collect();
        let mut transaction = store.begin().await?;
        let mut locked = transaction.lock_streams(names).await?;
        let mut sequences = Vec::with_capacity(batch.len());
        for event in &batch {
            let data = format!("\"{}\"", "x".repeat(BODY));
            sequences.push(locked.add(&event.stream, "bench.event", now(), None, data)?);
        }
        transaction.append_events(locked).await?;
        transaction.commit().await?;
        batches += 1;
        for (event, sequence) in batch.drain(..).zip(sequences) {
            // The writer may have ended.
            let _ = event.answer.send(sequence);
        }
    }
    Ok(batches)
}

async fn read(store: &Store, span: Duration) -> Result<(), Box<dyn std::error::Error>> {
    const STREAMS: u64 = 20;
    const MISSED: i64 = 10;
    let heads = |names: Vec<String>| async move {
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        store.stream_heads(&texts).await
    };
    for whole in [true, false] {
        let (start, mut latencies) = (Instant::now(), Vec::new());
        while start.elapsed() < span / 2 {
            let first = rand::rng().random_range(0..1000 - STREAMS);
            let names: Vec<String> = (first..first + STREAMS).map(stream).collect();
            let sent = Instant::now();
            let heads = heads(names.clone()).await?;
            if whole {
                let ranges = names.into_iter().zip(heads);
                let ranges: Vec<Range> = ranges
                    .map(|(stream, head)| Range {
                        stream,
                        above: (head - MISSED).max(0),
                        through: head,
                    })
                    .collect();
                let found = store.read_events(&ranges).await?;
                if found.is_empty() {
                    return Err("there are no events".into());
                }
            }
            latencies.push(sent.elapsed());
        }
        latencies.sort_unstable();
        let millis = |part: f64| {
            let found = latencies.get((latencies.len() as f64 * part) as usize);
            found.copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        let what = if whole { "events" } else { "heads" };
        println!("RESULT {what} {:.2} {:.2}", millis(0.5), millis(0.99));
    }
    Ok(())
}
