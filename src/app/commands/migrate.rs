//! `idlewatt migrate`: updates the schema without starting a server.

use crate::app::{Database, Error, server};
use crate::config::Config;

/// Updates the schema.
///
/// # Errors
/// Returns an error if the database cannot be used or a migration fails.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let mut database = Database::open(&config.database).await?;
    let store = server::store(config, database.endpoint().clone())?;
    let applied = store.migrate().await?;
    tracing::info!(migrations = applied.len(), "the schema is up to date");
    store.close();
    database.close().await;
    Ok(())
}
