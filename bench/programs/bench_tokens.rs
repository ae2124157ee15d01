//! Prints access tokens of random players of the database in `DATABASE_URL`; the argument is their number.
//!
//! `DATABASE_URL=... JWT_SECRET=... cargo run --release --example bench_tokens -- 5000`

#![allow(clippy::disallowed_methods, reason = "its tokens may be issued by the system clock")]

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use idlewatt::accounts::{AccessTokens, Identity};
use idlewatt::config::{Secret, environment};
use idlewatt::domain::Timestamp;
use tokio_postgres::NoTls;
use uuid::Uuid;

const TOKEN_TTL: Duration = Duration::from_hours(12);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: i64 = std::env::args().nth(1).ok_or("how many?")?.parse()?;
    let source = environment().map_err(|fault| fault.to_string())?;
    let variable = |name: &str| source.get(name).ok_or(format!("{name} is needed"));
    let (client, connection) = tokio_postgres::connect(variable("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    let rows = client.query(include_str!("../sql/some_players.sql"), &[&count]).await?;
    let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
    let tokens = AccessTokens::new(Secret::new(variable("JWT_SECRET")?), None, TOKEN_TTL);
    let mut out = std::io::stdout().lock();
    for row in rows {
        let player: Uuid = row.try_get("player_id")?;
        let token = tokens.issue(Identity { player, session: Uuid::now_v7() }, now)?;
        writeln!(out, "{token}")?;
    }
    Ok(())
}
