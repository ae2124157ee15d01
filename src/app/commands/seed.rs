//! `idlewatt seed`: adds plausible players.

use std::sync::Arc;

use crate::app::{Database, Error, Server, Settings};
use crate::clock::DatabaseClock;
use crate::config::{Config, Secret};
use crate::seed;

/// Adds `players` players. They appear in the rankings after the next rebuild of the boards.
///
/// # Errors
/// Returns an error if the database cannot be used.
pub async fn seed(config: &Config, players: u64) -> Result<(), Error> {
    let mut database = Database::open(&config.database).await?;
    let server = Server::build(Settings {
        config: config.clone(),
        endpoint: database.endpoint().clone(),
        // This command issues no access tokens.
        secret: Secret::new(String::new()),
        clock: Arc::new(DatabaseClock::new()),
        alone: true,
    })?;
    server.prepare().await?;
    let timeline = server.catalogues.timeline().map_err(|error| Error::Other(error.to_string()))?;
    seed::seed(&server.store, timeline, server.clock.now(), players).await?;
    tracing::info!(players, "players added");
    server.close().await;
    database.close().await;
    Ok(())
}
