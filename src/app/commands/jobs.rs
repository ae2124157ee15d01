//! `idlewatt jobs`: lists, retries and discards jobs. It needs neither an operator token nor a running server.

use std::time::Duration;

use crate::app::{Database, Error};
use crate::cli::{JobStatusArgument, JobsCommand};
use crate::config::Config;
use crate::store::jobs::{JobRecord, JobStatus};
use crate::store::{Store, StoreOptions};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `command`. Returns false if there is no such job, or if its status does not allow it.
///
/// # Errors
/// Returns an error if the database cannot be used.
pub async fn manage_jobs(config: &Config, command: JobsCommand) -> Result<bool, Error> {
    let mut database = Database::attach(&config.database).await?;
    let store = Store::new(StoreOptions {
        endpoint: database.endpoint().clone(),
        pool_size: 1,
        pool_timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    })?;
    let result = manage(&store, command).await;
    store.close();
    database.close().await;
    result
}

async fn manage(store: &Store, command: JobsCommand) -> Result<bool, Error> {
    match command {
        JobsCommand::List { status, limit } => {
            let jobs = store.list_jobs(status.map(Into::into), None, i64::from(limit)).await?;
            for job in &jobs {
                print_line(&line(job));
            }
            Ok(true)
        }
        JobsCommand::Retry { id } => {
            let now = store.server_time().await?;
            let (message, done) = match store.retry_job(id, now).await? {
                Some(true) => (format!("{id} runs again"), true),
                Some(false) => (format!("{id} is running or done, and cannot be retried"), false),
                None => (format!("there is no job {id}"), false),
            };
            print_line(&message);
            Ok(done)
        }
        JobsCommand::Discard { id } => {
            let now = store.server_time().await?;
            let discarded = store.discard_job(id, now).await?;
            print_line(&if discarded {
                format!("{id} is discarded")
            } else {
                format!("there is no job {id}")
            });
            Ok(discarded)
        }
    }
}

impl From<JobStatusArgument> for JobStatus {
    fn from(status: JobStatusArgument) -> Self {
        match status {
            JobStatusArgument::Queued => Self::Queued,
            JobStatusArgument::Running => Self::Running,
            JobStatusArgument::Done => Self::Done,
            JobStatusArgument::Dead => Self::Dead,
        }
    }
}

/// A job as one line with columns.
fn line(job: &JobRecord) -> String {
    let JobRecord { id, kind, unique_key, attempt, max_attempts, .. } = job;
    let status = job.status.as_str();
    let error = job.error.as_deref().unwrap_or_default().replace(char::is_control, " ");
    format!("{id}  {status:<7}  {attempt}/{max_attempts}  {kind}  {unique_key}  {error}")
        .trim_end()
        .to_owned()
}

#[expect(clippy::print_stdout, reason = "the answer is the output of the command")]
fn print_line(line: &str) {
    println!("{line}");
}
