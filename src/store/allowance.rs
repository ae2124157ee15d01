//! How many connections Postgres allows.

use super::error::Error;
use super::pool::Store;

impl Store {
    /// How many connections of this role to this database Postgres allows at the same time, for all processes together.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn connections_allowed(&self) -> Result<i32, Error> {
        let row = self.query_opt(include_str!("../../sql/queries/pool/allowed.sql"), &[]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no limit of connections".into()))?;
        Ok(row.try_get("allowed")?)
    }
}
