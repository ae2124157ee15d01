//! `idlewatt migrate`: the schema alone.

use crate::app::{Database, Error, server};
use crate::config::Config;

/// Brings the schema up to date.
///
/// # Errors
/// What keeps it from that.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let mut database = Database::open(&config.database).await?;
    let store = server::store(config, database.endpoint().clone())?;
    let added = store.migrate().await?;
    tracing::info!(migrations = added.len(), "the schema is up to date");
    store.close();
    database.close().await;
    Ok(())
}
