//! `idlewatt migrate`: the schema alone.

use std::sync::Arc;

use super::{Database, Error, Server, Settings};
use crate::clock::DatabaseClock;
use crate::config::{Config, Secret};

/// Brings the schema up to date.
///
/// # Errors
/// What keeps it from that.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let mut database = Database::open(&config.database).await?;
    let server = Server::build(Settings {
        config: config.clone(),
        endpoint: database.endpoint().clone(),
        // Nothing is signed.
        secret: Secret::new(String::new()),
        clock: Arc::new(DatabaseClock::new()),
        alone: true,
    })?;
    let added = server.store.migrate().await?;
    tracing::info!(migrations = added.len(), "the schema is up to date");
    server.close().await;
    database.close();
    Ok(())
}
