//! Rings of list partitions (*slots*) for rows that expire.
//!
//! Each slot is in use for a period in turn. During the period before its next use everything in it has expired, and it
//! is emptied by `truncate`. The statement that truncates also selects the slot, by the database's clock, so a worker
//! that was paused cannot empty a slot that is in use. All partitions exist from the start, so the server runs no DDL,
//! and there is a partition for every row.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::error::Error;
use super::jobs::Lease;
use super::pool::Store;
use crate::domain::Timestamp;

/// A ring of partitions (slots). Each is in use for `period` in turn and is emptied before its next use. A ring has one
/// slot more than the retention needs, so that everything in the next slot has expired.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// The partitioned table. Its partitions have the same name and the slot as a suffix.
    pub(super) table: &'static str,
    pub(super) first_slot: i16,
    pub(super) slots: i64,
    pub(super) period: Duration,
}

/// No slot is emptied this close to a change of slots. An instance whose clock differs, or whose statement is slow, may
/// still write to the other slot: clocks differ by up to a second, and a statement takes up to six seconds.
const SLOT_MARGIN_MICROS: i64 = 30_000_000;

impl Ring {
    fn period_micros(self) -> i64 {
        i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX)
    }

    /// The slot that is in use at `now`.
    pub(super) fn slot_at(self, now: Timestamp) -> i16 {
        let position = now.as_micros().div_euclid(self.period_micros()).rem_euclid(self.slots);
        self.first_slot + position as i16
    }
}

impl Store {
    /// Truncates the next slot of each of the `rings`, and marks the job that does this as done. Returns how many slots
    /// were emptied, or `None` if the job's lease was lost or has expired. The time is the database's, or `substitute`
    /// in tests, whose clock differs from the database's.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn empty_idle_slots(
        &self,
        lease: Lease,
        rings: &[Ring],
        substitute: Option<Timestamp>,
    ) -> Result<Option<usize>, Error> {
        let tables: Vec<_> = rings.iter().map(|ring| ring.table).collect();
        let first_slots: Vec<_> = rings.iter().map(|ring| ring.first_slot).collect();
        let slots: Vec<_> = rings.iter().map(|ring| ring.slots).collect();
        let periods: Vec<_> = rings.iter().map(|ring| ring.period_micros()).collect();
        // A substitute is the same for all instances, so no margin is needed.
        let margin = if substitute.is_some() { 0 } else { SLOT_MARGIN_MICROS };
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &lease.job,
            &lease.token,
            &substitute,
            &tables,
            &first_slots,
            &slots,
            &periods,
            &margin,
        ];
        let sql = include_str!("../../sql/queries/rings/empty_idle_slots.sql");
        let rows = self.query(sql, &parameters).await?;
        let mut emptied = 0;
        for row in &rows {
            emptied += usize::from(row.try_get::<_, bool>("emptied")?);
        }
        Ok((!rows.is_empty()).then_some(emptied))
    }
}
