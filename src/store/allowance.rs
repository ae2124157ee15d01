//! The limit on connections that Postgres enforces.

use super::error::Error;
use super::pool::Store;

impl Store {
    /// The largest number of connections that all clients with this role together may have to this database.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn connections_allowed(&self) -> Result<i32, Error> {
        let row = self.query_opt(include_str!("../../sql/queries/pool/allowed.sql"), &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no limit of connections".into()))?;
        Ok(row.try_get("allowed")?)
    }
}
