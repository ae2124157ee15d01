//! Simulated players: signing in as a guest, and one request per second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use crate::http::{Answer, Connection, Request, Target};
use crate::profile::{Chances, Kind, Profile};
use crate::record::{Records, Times};
use crate::report;

/// Guests that sign in at the same time.
const AT_ONCE: usize = 64;
/// The interval between the requests of one player.
const PERIOD: Duration = Duration::from_secs(1);
/// Attempts to sign in. Many are needed, because the server limits the rate of new guests.
const TRIES: u32 = 600;

/// When and how one player plays.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the first request is due.
    pub first: Instant,
    /// No request is due at or after this time.
    pub end: Instant,
    /// Seed of the random choice of requests.
    pub seed: u64,
    pub profile: Profile,
}

/// Creates `players` guests and returns their access tokens.
pub async fn sign_in(target: &Rc<Target>, players: usize) -> Result<Vec<String>, String> {
    let gate = Rc::new(Semaphore::new(AT_ONCE));
    let guests: Vec<_> = (0..players)
        .map(|_| {
            let (target, gate) = (Rc::clone(target), Rc::clone(&gate));
            tokio::task::spawn_local(async move {
                let _permit = gate.acquire().await.map_err(|error| error.to_string())?;
                guest(&target).await
            })
        })
        .collect();
    let mut tokens = Vec::with_capacity(players);
    for guest in guests {
        tokens.push(guest.await.map_err(|error| error.to_string())??);
        if tokens.len() % 250 == 0 || tokens.len() == players {
            report::print_progress(&format!(
                "{} of {players} players have signed in",
                tokens.len()
            ));
        }
    }
    report::print_line("");
    Ok(tokens)
}

async fn guest(target: &Target) -> Result<String, String> {
    let request = Request {
        method: "POST",
        path: "/api/v1/auth/guest",
        body: Some("{}"),
        ..Request::default()
    };
    for _ in 0..TRIES {
        let answer = Connection::default().send(target, &request).await;
        let answer = answer.map_err(|error| format!("cannot sign in: {error}"))?;
        match answer.status {
            201 => {
                return token(&answer)
                    .ok_or_else(|| "the answer to the sign-in has no token".to_owned());
            }
            429 | 503 => sleep(Duration::from_secs(answer.retry_after.unwrap_or(1))).await,
            status => return Err(format!("cannot sign in: status {status}")),
        }
    }
    Err("the server's rate limit refuses the sign-ins: raise RATE_LIMIT_AUTH_PER_MINUTE".into())
}

fn token(answer: &Answer) -> Option<String> {
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(json["tokens"]["access_token"].as_str()?.to_owned())
}

/// Plays one player until the end of its plan.
pub async fn play(target: Rc<Target>, token: String, plan: Plan, records: Rc<RefCell<Records>>) {
    let mut connection = Connection::default();
    let mut chances = Chances::new(plan.seed);
    let (mut due, mut turn, mut etag) = (plan.first, 0_u64, None);
    let mut joined = false;
    while due < plan.end {
        let in_time = Instant::now() <= due;
        sleep_until(due).await;
        let sent = Instant::now();
        if !joined {
            records.borrow_mut().playing += 1;
            joined = true;
        }
        if in_time {
            records.borrow_mut().sent(due, sent);
        }
        let kind = plan.profile.choose(chances.next());
        let request = request(kind, &token, etag.as_deref(), turn);
        let result = connection.send(&target, &request).await;
        let mut records = records.borrow_mut();
        match result {
            Ok(answer) if kind.accepts(answer.status) => {
                records.answered(kind, Times { due, sent, answered: Instant::now() });
                if kind == Kind::State && answer.etag.is_some() {
                    etag = answer.etag;
                }
            }
            Ok(answer) if answer.status == 429 => records.limited += 1,
            Ok(answer) => records.failed(due, format!("{} {}", kind.name(), answer.status)),
            Err(error) => records.failed(due, format!("{} {}", kind.name(), error.kind())),
        }
        drop(records);
        due += PERIOD;
        turn += 1;
    }
    records.borrow_mut().playing -= 1;
}

fn request<'a>(kind: Kind, token: &'a str, etag: Option<&'a str>, turn: u64) -> Request<'a> {
    let read = |path| Request { method: "GET", path, token, ..Request::default() };
    let write = |path, body| Request {
        method: "POST",
        path,
        token,
        key: Some(format!("{}-{turn}", kind.name())),
        body: Some(body),
        ..Request::default()
    };
    match kind {
        Kind::State => Request { etag, ..read("/api/v1/me") },
        Kind::Clicks => write("/api/v1/me/clicks", r#"{"clicks":10}"#),
        Kind::Purchase => write("/api/v1/me/generators/hand_crank/purchase", r#"{"quantity":1}"#),
        Kind::Rankings => read("/api/v1/rankings"),
    }
}
