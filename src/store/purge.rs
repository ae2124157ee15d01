//! Forgetting what has lapsed. Each of these is part of a job's transaction.

use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;

impl Store {
    /// Up to `limit` guests after `after`, in the order of ids, who never did anything and have not been seen since
    /// `unseen_since`.
    ///
    /// # Errors
    /// As every statement's.
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
    /// Forgets sessions that have lapsed; returns how many, at most 1,000.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn purge_sessions(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/sessions/purge.sql"), &[&now]).await
    }

    /// Forgets revocations made before `before`; returns how many.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn purge_revocations(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/pulse/purge_revocations.sql"), &[&before])
            .await
    }

    /// Removes those of `guests` who are still idle, as [`Store::find_idle_guests`] finds them, with all that is held of
    /// them, and tells the instances; returns who they are. For `substitute` see [`Store::end_session`].
    ///
    /// # Errors
    /// As every statement's.
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
        // A statement of its own, which sees all that was added before the rows were held.
        self.execute(include_str!("../../sql/queries/guests/delete.sql"), &[&held, &substitute])
            .await?;
        Ok(held)
    }
}
