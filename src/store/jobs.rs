//! The queue of jobs.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;
use crate::id::random_id;

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// It waits until `run_after`, and then for a worker.
    Queued,
    Running,
    Done,
    /// A dead letter: its last attempt failed. It remains until an operator retries or discards it.
    Dead,
}

impl JobStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Done, Self::Dead];

    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    pub id: Uuid,
    pub kind: &'a str,
    /// There is at most one job of a kind with the same key.
    pub unique_key: &'a str,
    pub arguments: &'a Value,
    /// The earliest time at which it runs.
    pub run_after: Timestamp,
    pub max_attempts: i32,
    pub created_at: Timestamp,
}

const ENQUEUE: &str = include_str!("../../sql/queries/jobs/enqueue.sql");

impl NewJob<'_> {
    /// The parameters of [`ENQUEUE`].
    fn columns(&self) -> [&(dyn ToSql + Sync); 7] {
        let Self { id, kind, unique_key, arguments, run_after, max_attempts, created_at } = self;
        [id, kind, unique_key, arguments, run_after, max_attempts, created_at]
    }
}

/// The exclusive right to work on a job. It is lost when it expires and another worker claims the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub job: Uuid,
    pub token: Uuid,
}

/// A job that a worker has claimed.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub kind: String,
    pub arguments: Value,
    /// The progress of earlier attempts.
    pub progress: Option<Value>,
    /// The number of this attempt, from 1.
    pub attempt: i32,
}

/// A job as operators see it.
#[derive(Clone, Debug)]
pub struct JobRecord {
    pub id: Uuid,
    pub kind: String,
    pub unique_key: String,
    pub arguments: Value,
    pub status: JobStatus,
    pub progress: Option<Value>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub run_after: Timestamp,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The worker of the last attempt.
    pub worker: Option<String>,
    /// The error of the last failure.
    pub error: Option<String>,
}

/// The state of the queue.
#[derive(Clone, Copy, Debug)]
pub struct JobStats {
    /// The earliest time at which one of the waiting jobs became due; `None` if no job is due.
    pub oldest_due: Option<Timestamp>,
    /// The number of dead letters.
    pub dead: i64,
}

impl Store {
    /// Enqueues a scheduled job, whose scheduled time is `slot`. Returns false if a job of its kind with that scheduled
    /// time, or a later one, was enqueued before.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn fire_schedule(&self, slot: Timestamp, job: &NewJob<'_>) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/fire.sql");
        let NewJob { id, kind, unique_key, arguments, run_after, max_attempts, created_at } = job;
        let fired = self
            .execute(
                sql,
                &[id, kind, unique_key, arguments, &slot, run_after, max_attempts, created_at],
            )
            .await?;
        Ok(fired > 0)
    }

    /// Enqueues a job. Returns false if a job of the same kind with the same key exists.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn enqueue_job(&self, job: &NewJob<'_>) -> Result<bool, Error> {
        Ok(self.execute(ENQUEUE, &job.columns()).await? > 0)
    }

    /// Claims the job of `kinds` that has been due for the longest time. The claim expires after `lease` unless it is
    /// renewed.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn claim_job(
        &self,
        kinds: &[&str],
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedJob>, Error> {
        let sql = include_str!("../../sql/queries/jobs/claim.sql");
        let token = random_id();
        let row =
            self.query_opt(sql, &[&kinds, &now, &worker, &token, &lease.as_secs_f64()]).await?;
        row.map(|row| {
            Ok(ClaimedJob {
                lease: Lease { job: row.try_get("job_id")?, token },
                kind: row.try_get("kind")?,
                arguments: row.try_get("arguments")?,
                progress: row.try_get("progress")?,
                attempt: row.try_get("attempt")?,
            })
        })
        .transpose()
    }

    /// Turns jobs whose lease expired during their last attempt, because the worker crashed or stalled, into dead
    /// letters. Returns the kinds of these jobs.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn bury_lapsed(&self, now: Timestamp) -> Result<Vec<String>, Error> {
        let rows = self.query(include_str!("../../sql/queries/jobs/bury.sql"), &[&now]).await?;
        rows.iter().map(|row| Ok(row.try_get("kind")?)).collect()
    }

    /// Renews a lease. Returns false if it was lost.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn renew_lease(&self, lease: Lease, length: Duration) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/renew.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, &length.as_secs_f64()]).await? > 0)
    }

    /// Requeues a failed job to run at `retry_at`, or makes it a dead letter if this was its last attempt. Returns its
    /// new status, or `None` if the lease was lost.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn fail_job(
        &self,
        lease: Lease,
        retry_at: Timestamp,
        now: Timestamp,
        error: &str,
    ) -> Result<Option<JobStatus>, Error> {
        let sql = include_str!("../../sql/queries/jobs/fail.sql");
        let row = self.query_opt(sql, &[&lease.job, &lease.token, &retry_at, &now, &error]).await?;
        row.map(|row| status(row.try_get("status")?)).transpose()
    }

    /// Requeues a job that has not failed, for example because the worker shuts down. Does not count as an attempt.
    /// Returns false if the lease was lost.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn hand_back_job(&self, lease: Lease) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/hand_back.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token]).await? > 0)
    }

    /// Up to `limit` jobs with ids below `before`, newest first, with the status `of` or with any status.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn list_jobs(
        &self,
        of: Option<JobStatus>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<JobRecord>, Error> {
        let sql = include_str!("../../sql/queries/jobs/list.sql");
        let rows = self.query(sql, &[&of.map(JobStatus::as_str), &before, &limit]).await?;
        rows.iter().map(decode).collect()
    }

    /// Makes a dead letter or a waiting job due now, and resets its number of attempts. Returns whether its status
    /// allowed this, or `None` if the job does not exist.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn retry_job(&self, id: Uuid, now: Timestamp) -> Result<Option<bool>, Error> {
        let sql = include_str!("../../sql/queries/jobs/retry.sql");
        let row = self.query_opt(sql, &[&id, &now]).await?;
        Ok(row.map(|row| row.try_get("retried")).transpose()?)
    }

    /// Deletes a job. If it is running, its result is discarded. Returns whether the job existed.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn discard_job(&self, id: Uuid, now: Timestamp) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/discard.sql");
        Ok(self.execute(sql, &[&id, &now]).await? > 0)
    }

    /// The state of the queue.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn job_stats(&self, now: Timestamp) -> Result<JobStats, Error> {
        let row = self.query_opt(include_str!("../../sql/queries/jobs/stats.sql"), &[&now]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no statistics of jobs".into()))?;
        Ok(JobStats { oldest_due: row.try_get("oldest_due")?, dead: row.try_get("dead")? })
    }
}

impl Transaction {
    /// As [`Store::enqueue_job`]: the job exists if the transaction commits.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn enqueue_job(&mut self, job: &NewJob<'_>) -> Result<bool, Error> {
        Ok(self.execute(ENQUEUE, &job.columns()).await? > 0)
    }

    /// Marks a job as done when the transaction commits. Returns false if the lease was lost: another worker has the
    /// job now, and this transaction must be rolled back.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn finish_job(&mut self, lease: Lease, now: Timestamp) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/finish.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, &now]).await? > 0)
    }

    /// Stores the progress of a job when the transaction commits. Returns false if the lease was lost, as
    /// [`Transaction::finish_job`] does.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn advance_job(&mut self, lease: Lease, progress: &Value) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/advance.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, progress]).await? > 0)
    }

    /// Deletes up to 1,000 jobs that were done before `before`. Returns how many it deleted.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn trim_jobs(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.execute(include_str!("../../sql/queries/jobs/trim.sql"), &[&before]).await
    }
}

fn status(name: &str) -> Result<JobStatus, Error> {
    JobStatus::from_name(name).ok_or_else(|| Error::Corrupt(format!("jobs.status is {name}")))
}

fn decode(row: &Row) -> Result<JobRecord, Error> {
    Ok(JobRecord {
        id: row.try_get("job_id")?,
        kind: row.try_get("kind")?,
        unique_key: row.try_get("unique_key")?,
        arguments: row.try_get("arguments")?,
        status: status(row.try_get("status")?)?,
        progress: row.try_get("progress")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        run_after: row.try_get("run_after")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        worker: row.try_get("worker")?,
        error: row.try_get("error")?,
    })
}
