//! The queue of jobs.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use crate::domain::Timestamp;
use crate::id::random_id;

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// It waits for its time, and for a worker.
    Queued,
    Running,
    Done,
    /// Its last attempt has failed; it stays until an operator retries or discards it.
    Dead,
}

impl JobStatus {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Done, Self::Dead];

    /// Its name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    pub id: Uuid,
    pub kind: &'a str,
    /// Of one kind there is never more than one job of a key.
    pub unique_key: &'a str,
    pub arguments: &'a Value,
    /// It does not run before.
    pub run_after: Timestamp,
    pub max_attempts: i32,
    pub created_at: Timestamp,
}

/// The right to finish a job, until somebody else takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub job: Uuid,
    pub token: Uuid,
}

/// A job that was taken.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    pub lease: Lease,
    pub kind: String,
    pub arguments: Value,
    /// How far it had come.
    pub progress: Option<Value>,
    /// Which attempt this is, from 1.
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
    /// Who began it last.
    pub worker: Option<String>,
    /// Why it failed last.
    pub error: Option<String>,
}

/// How the queue fares.
#[derive(Clone, Copy, Debug)]
pub struct JobStats {
    /// Since when the oldest job that is due has waited.
    pub oldest_due: Option<Timestamp>,
    /// Dead letters.
    pub dead: i64,
}

impl Store {
    /// Enqueues the job of the turn `slot` of its kind's schedule. Returns false where that turn, or a later one, has been
    /// enqueued before.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Enqueues a job. Returns false where its kind has one of that key.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn enqueue_job(&self, job: &NewJob<'_>) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/enqueue.sql");
        let NewJob { id, kind, unique_key, arguments, run_after, max_attempts, created_at } = job;
        let enqueued = self
            .execute(sql, &[id, kind, unique_key, arguments, run_after, max_attempts, created_at])
            .await?;
        Ok(enqueued > 0)
    }

    /// Takes the job of `kinds` that is due for longest, for as long as `lease` unless it is renewed.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Makes dead letters of jobs whose worker died in their last attempt; returns their kinds.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn bury_lapsed(&self, now: Timestamp) -> Result<Vec<String>, Error> {
        let rows = self.query(include_str!("../../sql/queries/jobs/bury.sql"), &[&now]).await?;
        rows.iter().map(|row| Ok(row.try_get("kind")?)).collect()
    }

    /// Lengthens a lease. Returns false where it has been lost.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn renew_lease(&self, lease: Lease, length: Duration) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/renew.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, &length.as_secs_f64()]).await? > 0)
    }

    /// Puts a job that failed back until `retry_at`, or among the dead letters after its last attempt. Returns what became
    /// of it; nothing where its lease has been lost.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Puts a job back that was begun and not failed. Returns false where its lease has been lost.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn hand_back_job(&self, lease: Lease) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/hand_back.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token]).await? > 0)
    }

    /// Up to `limit` jobs of that status, or all, newest first, from below `before` on.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Lets a dead letter, or a job that waits, run at once with all its attempts. Returns whether it could be; nothing
    /// where there is no such job.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn retry_job(&self, id: Uuid, now: Timestamp) -> Result<Option<bool>, Error> {
        let sql = include_str!("../../sql/queries/jobs/retry.sql");
        let row = self.query_opt(sql, &[&id, &now]).await?;
        Ok(row.map(|row| row.try_get("retried")).transpose()?)
    }

    /// Removes a job; nothing comes of one that runs. Returns whether there was one.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn discard_job(&self, id: Uuid, now: Timestamp) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/discard.sql");
        Ok(self.execute(sql, &[&id, &now]).await? > 0)
    }

    /// How the queue fares.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn job_stats(&self, now: Timestamp) -> Result<JobStats, Error> {
        let row = self.query_opt(include_str!("../../sql/queries/jobs/stats.sql"), &[&now]).await?;
        let row = row.ok_or_else(|| Error::Corrupt("no statistics of jobs".into()))?;
        Ok(JobStats { oldest_due: row.try_get("oldest_due")?, dead: row.try_get("dead")? })
    }
}

impl Transaction {
    /// Notes that a job is done, with the transaction. Returns false where its lease has been lost: whoever has it now does
    /// the job, and this transaction must be rolled back.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn finish_job(&mut self, lease: Lease, now: Timestamp) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/finish.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, &now]).await? > 0)
    }

    /// Notes how far a job has come, with the transaction. Returns false where its lease has been lost, as
    /// [`Transaction::finish_job`] does.
    ///
    /// # Errors
    /// As every statement's.
    pub async fn advance_job(&mut self, lease: Lease, progress: &Value) -> Result<bool, Error> {
        let sql = include_str!("../../sql/queries/jobs/advance.sql");
        Ok(self.execute(sql, &[&lease.job, &lease.token, progress]).await? > 0)
    }

    /// Forgets jobs that were done before `before`; returns how many, at most 1,000.
    ///
    /// # Errors
    /// As every statement's.
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
