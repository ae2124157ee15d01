//! `idlewatt migrate`: updates the schema and does nothing else.

use crate::app::{Database, Error, server};
use crate::config::Config;

/// Updates the schema.
///
/// # Errors
/// Returns why that failed.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let mut database = Database::open(&config.database).await?;
    let store = server::store(config, database.endpoint().clone())?;
    let added = store.migrate().await?;
    tracing::info!(migrations = added.len(), "the schema is up to date");
    store.close();
    database.close().await;
    Ok(())
}
