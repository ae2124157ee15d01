//! Deleting expired data. Each function is part of a job's transaction.

use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;

impl Store {
    /// Up to `limit` guests after `after`, in the order of ids, who never did anything and were not seen since
    /// `unseen_since`.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn find_idle_guests(
        &self,
        after: Uuid,
        unseen_since: Timestamp,
        limit: i64,
    ) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/guests/find_idle.sql");
        let rows = self.query(sql, &[&after, &unseen_since, &limit]).await?;
        rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
    }
}

impl Transaction {
    /// Deletes expired sessions. Returns how many, at most 1,000.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_sessions(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/sessions/purge.sql"), &[&now]).await
    }

    /// Deletes revocations that were made before `before`. Returns how many.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_revocations(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/pulse/purge_revocations.sql"), &[&before])
            .await
    }

    /// Deletes the `guests` that are still idle, as [`Store::find_idle_guests`] defines it, with all their data, and
    /// notifies the instances. Returns the deleted guests. For `substitute` see [`Store::end_session`].
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_guests(
        &mut self,
        guests: &[Uuid],
        unseen_since: Timestamp,
        substitute: Option<Timestamp>,
    ) -> Result<Vec<Uuid>, Error> {
        let sql = include_str!("../../sql/queries/guests/hold_idle.sql");
        let rows = self.query(sql, &[&guests, &unseen_since]).await?;
        let held: Vec<Uuid> =
            rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect::<Result<_, Error>>()?;
        // Another statement, so that it sees everything that was added before the rows were locked.
        self.execute(include_str!("../../sql/queries/guests/delete.sql"), &[&held, &substitute])
            .await?;
        Ok(held)
    }
}
