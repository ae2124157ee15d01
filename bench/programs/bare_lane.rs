//! A bare lane for comparison with writes: the smallest server that answers durable clicks, with the real table and
//! statement, in batches like those of the real lane. It does not check tokens, and has no rules, rate limits, cache,
//! metrics or announcements.
//!
//! `DATABASE_URL=... cargo run --release --example bare_lane -- 8090` listens on port 8090.

#![allow(
    clippy::disallowed_methods,
    reason = "it may use the system clock, because its rows are never played"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::thread;
use std::time::SystemTime;

use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use idlewatt::config::environment;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const QUEUE_LENGTH: usize = 8192;
const MAX_BATCH: usize = 512;
/// Bytes of padding that make an answer as long as a real one.
const PADDING: usize = 700;

/// A click, and the channel for the player's energy after it.
struct Click {
    player: Uuid,
    clicks: u32,
    answer: oneshot::Sender<f64>,
}

/// The claim of a token that is read, without checking the signature.
#[derive(Deserialize)]
struct Claims {
    sub: Uuid,
}

#[derive(Deserialize)]
struct Body {
    clicks: u32,
}

/// The players by token, for the tokens that a worker has already decoded.
type Known = Rc<RefCell<HashMap<String, Uuid>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let source = environment().map_err(|fault| fault.to_string())?;
    let database = source.get("DATABASE_URL").ok_or("DATABASE_URL is needed")?.to_owned();
    let (lane, clicks) = mpsc::channel(QUEUE_LENGTH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        // When this thread ends, the senders of the answers are dropped, so that callers get an error.
        runtime.block_on(commit_clicks(&database, clicks)).map_err(|error| error.to_string())
    });
    let workers = thread::available_parallelism()?.get();
    let server = HttpServer::new(move || {
        let (lane, known) = (lane.clone(), Known::default());
        let click = move |request: HttpRequest, body: web::Bytes| {
            let (lane, known) = (lane.clone(), Rc::clone(&known));
            async move {
                match click(&lane, &known, &request, &body).await {
                    Some(energy) => HttpResponse::Ok().body(format!(
                        "{{\"energy\":{energy},\"padding\":\"{}\"}}",
                        "x".repeat(PADDING)
                    )),
                    None => HttpResponse::ServiceUnavailable().finish(),
                }
            }
        };
        App::new().route("/api/v1/me/clicks", web::post().to(click))
    });
    Ok(server.workers(workers).bind(("127.0.0.1", port))?.run().await?)
}

/// The player's energy after the click is committed; `None` if it is not.
async fn click(
    lane: &mpsc::Sender<Click>,
    known: &Known,
    request: &HttpRequest,
    body: &[u8],
) -> Option<f64> {
    let token = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let player = player_of(token, known)?;
    let Body { clicks } = serde_json::from_slice(body).ok()?;
    let (answer, answered) = oneshot::channel();
    lane.try_send(Click { player, clicks, answer }).ok()?;
    answered.await.ok()
}

fn player_of(token: &str, known: &Known) -> Option<Uuid> {
    if let Some(&player) = known.borrow().get(token) {
        return Some(player);
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { sub: player } = serde_json::from_slice(&claims).ok()?;
    known.borrow_mut().insert(token.to_owned(), player);
    Some(player)
}

/// The columns that a click changes, and the revision.
struct Row {
    revision: i64,
    version: i64,
    energy: f64,
    lifetime_energy: f64,
}

/// Commits the queued clicks in batches, until an error occurs.
async fn commit_clicks(
    database: &str,
    mut queue: mpsc::Receiver<Click>,
) -> Result<(), Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(include_str!("../../sql/queries/lanes/session.sql")).await?;
    let mut rows = rows(&client).await?;
    let sql = include_str!("../../sql/queries/players/commit_clicks.sql");
    let statement = client.prepare(sql).await?;
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
        batch.sort_unstable_by_key(|click: &Click| click.player);
        for Click { player, clicks, .. } in &batch {
            let row = rows.get_mut(player).ok_or("there is no such player")?;
            row.version += 1;
            row.energy += f64::from(*clicks);
            row.lifetime_energy += f64::from(*clicks);
        }
        let mut players: Vec<_> = batch.iter().map(|click| click.player).collect();
        players.dedup();
        let revisions = column(&players, &rows, |row| row.revision);
        let versions = column(&players, &rows, |row| row.version);
        let energies = column(&players, &rows, |row| row.energy);
        let lifetimes = column(&players, &rows, |row| row.lifetime_energy);
        let (times, tokens) = (vec![SystemTime::now(); players.len()], vec![1.0; players.len()]);
        let written = client
            .execute(
                &statement,
                &[
                    &players, &revisions, &versions, &energies, &lifetimes, &times, &times,
                    &tokens, &times,
                ],
            )
            .await?;
        if written < players.len() as u64 {
            return Err("another process has written these players".into());
        }
        for Click { player, answer, .. } in batch.drain(..) {
            let row = rows.get(&player).ok_or("there is no such player")?;
            // The client may have closed its connection.
            answer.send(row.energy).unwrap_or_default();
        }
        for player in &players {
            rows.entry(*player).and_modify(|row| row.revision += 1);
        }
    }
    Ok(())
}

fn column<T>(players: &[Uuid], rows: &HashMap<Uuid, Row>, value: fn(&Row) -> T) -> Vec<T> {
    players.iter().filter_map(|player| rows.get(player)).map(value).collect()
}

async fn rows(client: &Client) -> Result<HashMap<Uuid, Row>, tokio_postgres::Error> {
    let rows = client.query(include_str!("../sql/rows.sql"), &[]).await?;
    let row = |row: &tokio_postgres::Row| {
        let values = Row {
            revision: row.try_get(1)?,
            version: row.try_get(2)?,
            energy: row.try_get(3)?,
            lifetime_energy: row.try_get(4)?,
        };
        Ok((row.try_get(0)?, values))
    };
    rows.iter().map(row).collect()
}
