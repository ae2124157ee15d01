//! Deletes expired data and idle guests, on behalf of jobs.

use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;

impl Store {
    /// Up to `limit` idle guests after `after`, in the order of ids. A guest is idle if it never made a change, and was
    /// created and last seen before `unseen_since`.
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
    /// Deletes up to 1,000 expired sessions. Returns how many it deleted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_sessions(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/sessions/purge.sql"), &[&now]).await
    }

    /// Deletes revocations that were made before `before`. Returns how many it deleted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn purge_revocations(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/pulse/purge_revocations.sql"), &[&before])
            .await
    }

    /// Deletes those of the `guests` that are still idle (see [`Store::find_idle_guests`]) with all their data, and
    /// inserts revocations, from which the instances learn of it. Returns the deleted guests. For `substitute` see
    /// [`Store::end_session`].
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
        let locked: Vec<Uuid> =
            rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect::<Result<_, Error>>()?;
        // A separate statement, so that its snapshot contains everything that was added before the rows were locked.
        self.execute(include_str!("../../sql/queries/guests/delete.sql"), &[&locked, &substitute])
            .await?;
        Ok(locked)
    }
}
