//! Adds players for the benchmarks to the database in `DATABASE_URL`, and prints an access token for each.
//!
//! `DATABASE_URL=... JWT_SECRET=... cargo run --release --example bench_players -- 5000`

#![allow(
    clippy::disallowed_methods,
    reason = "the start time of its players may come from the system clock"
)]

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use idlewatt::accounts::{AccessTokens, Identity};
use idlewatt::catalogue::Catalogues;
use idlewatt::config::{Secret, environment};
use idlewatt::domain::Timestamp;
use serde_json::json;
use tokio_postgres::NoTls;
use tokio_postgres::types::Json;
use uuid::Uuid;

const TOKEN_TTL: Duration = Duration::from_hours(12);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).ok_or("how many?")?.parse()?;
    let source = environment().map_err(|fault| fault.to_string())?;
    let variable = |name: &str| source.get(name).ok_or(format!("{name} is needed"));
    let (client, connection) = tokio_postgres::connect(variable("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let items = Catalogues::seed_items()?;
    let generators = items.generators.iter().take(6).zip([30, 25, 20, 15, 10, 5]);
    let generators: serde_json::Map<_, _> =
        generators.map(|(generator, owned)| (generator.id.to_string(), json!(owned))).collect();
    let upgrades: Vec<_> = items.upgrades.iter().take(2).map(|it| it.id.to_string()).collect();
    let inventory = Json(json!({ "generators": generators, "upgrades": upgrades }));
    client.execute(include_str!("../sql/load_players.sql"), &[&ids, &now, &inventory]).await?;
    client.batch_execute("vacuum analyze players").await?;
    let tokens = AccessTokens::new(Secret::new(variable("JWT_SECRET")?), None, TOKEN_TTL);
    let mut out = std::io::stdout().lock();
    for player in ids {
        let token = tokens.issue(Identity { player, session: Uuid::now_v7() }, now)?;
        writeln!(out, "{token}")?;
    }
    Ok(())
}
