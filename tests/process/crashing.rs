//! Kills the server or its database at random times under load, and checks that each answered request was applied once,
//! that each other request was applied completely or not at all, and that a repeat with the same key applies it once.
//!
//! The environment variable CRASHES is the number of kills (4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::program::{Folder, Program, database_pid, send_signal};

const PLAYERS: usize = 8;
/// The number of answers after which a process is killed; random within this range.
const ANSWERS: std::ops::Range<u64> = 20..400;
/// The maximum number of attempts of one request.
const MAX_TRIES: usize = 20_000;

/// A player who clicks, each time with an idempotency key, and counts the answers.
struct Clicker {
    token: String,
    /// Clicks that were answered with 200.
    answered: u64,
}

/// Why a clicker stopped.
#[derive(PartialEq, Eq)]
enum End {
    Done,
    ServerGone,
}

impl Clicker {
    /// Sends the next click again and again until it is answered with 200 or the server has ended.
    async fn click(&mut self, server: &Program) -> End {
        let key = format!("click-{}", self.answered);
        for _ in 0..MAX_TRIES {
            let sent =
                server.try_keyed("/api/v1/me/clicks", &self.token, &key, json!({ "clicks": 1 }));
            match sent.await {
                None => return End::ServerGone,
                Some((200, answer)) => {
                    self.answered += 1;
                    // A repeat is answered with the current state, which no other click has changed.
                    assert_eq!(answer["state"]["version"], self.answered, "{answer}");
                    return End::Done;
                }
                Some((status, answer)) => {
                    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")));
                }
            }
        }
        panic!("a click was never answered");
    }
}

/// Lets all players click until `enough` clicks are answered, then kills the process `victim`. The players continue
/// until each has received an answer after the kill, or the server has ended.
async fn crash(
    server: &Arc<Program>,
    clickers: Vec<Clicker>,
    enough: u64,
    victim: u32,
) -> Vec<Clicker> {
    let (answers, killed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = clickers
        .into_iter()
        .map(|mut clicker| {
            let (server, answers, killed) =
                (Arc::clone(server), Arc::clone(&answers), Arc::clone(&killed));
            tokio::spawn(async move {
                loop {
                    let after = killed.load(Ordering::SeqCst) > 0;
                    if clicker.click(&server).await == End::ServerGone || after {
                        return clicker;
                    }
                    if answers.fetch_add(1, Ordering::SeqCst) + 1 == enough {
                        send_signal(victim, "KILL");
                        killed.store(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let mut clickers = Vec::new();
    for task in tasks {
        clickers.push(task.await.expect("a clicker ends"));
    }
    clickers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_click_is_lost_or_applied_twice_after_a_crash() {
    let crashes = std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut random = StdRng::seed_from_u64(7);
    let folder = Folder::new("crashing");
    let settings = [("DATA_DIR", folder.path().to_str().expect("text"))];
    let mut server = Arc::new(Program::start(&settings));
    let mut clickers = Vec::new();
    for _ in 0..PLAYERS {
        clickers.push(Clicker { token: server.guest().await, answered: 0 });
    }
    for round in 0..crashes {
        let kills_server = round % 2 == 0;
        let victim = if kills_server { server.pid() } else { database_pid(folder.path()) };
        clickers = crash(&server, clickers, random.random_range(ANSWERS), victim).await;
        if kills_server {
            drop(server);
            server = Arc::new(Program::start(&settings));
        }
        for clicker in &mut clickers {
            let (status, state) = server.call("GET", "/api/v1/me", &clicker.token, None).await;
            assert_eq!(status, 200, "{state}");
            let version = state["version"].as_u64().expect("a version");
            let unanswered = clicker.answered + 1;
            assert!(
                (clicker.answered..=unanswered).contains(&version),
                "{version} of {unanswered}"
            );
            // The click whose answer may have been lost is repeated with the same key.
            assert!(clicker.click(&server).await == End::Done);
        }
    }
    let played: u64 = clickers.iter().map(|clicker| clicker.answered).sum();
    assert!(played > ANSWERS.start * crashes, "{played} clicks are too few");
}
