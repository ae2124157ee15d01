//! Operators list, retry and discard jobs.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::problem::{Code, Problem};
use crate::api::wire::{Page, read_parameter, rfc3339};
use crate::http::extract::{Operator, Query, id, page_limit};
use crate::http::pages::cursor;
use crate::http::{Api, json};
use crate::store::jobs::{JobRecord, JobStatus};

const MISSING: &str = "There is no such job.";
const LIST: &str = "admin jobs";

/// The query of the list of jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only jobs with this status.
    #[serde(default)]
    #[param(value_type = Option<JobStatusWire>)]
    status: Option<String>,
    /// The maximum number of jobs.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the previous page.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// The status of a job. `dead` means that the last allowed attempt failed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobStatus)]
pub enum JobStatusWire {
    Queued,
    Running,
    Done,
    Dead,
}

impl From<JobStatus> for JobStatusWire {
    fn from(status: JobStatus) -> Self {
        match status {
            JobStatus::Queued => Self::Queued,
            JobStatus::Running => Self::Running,
            JobStatus::Done => Self::Done,
            JobStatus::Dead => Self::Dead,
        }
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobWire {
    id: Uuid,
    #[schema(example = "sweep")]
    kind: String,
    /// Unique among the jobs of a kind. For a scheduled job, the time for which it is scheduled.
    #[schema(example = "2026-11-21T10:00:00Z")]
    key: String,
    status: JobStatusWire,
    /// The number of the latest attempt.
    attempt: i32,
    max_attempts: i32,
    /// The arguments of the job.
    #[schema(value_type = Object)]
    arguments: Value,
    #[schema(format = DateTime)]
    created_at: String,
    /// The earliest time at which the job may run.
    #[schema(format = DateTime)]
    run_after: String,
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// The worker that made the latest attempt.
    #[schema(required)]
    worker: Option<String>,
    /// The error of the latest failure.
    #[schema(required)]
    error: Option<String>,
}

impl From<JobRecord> for JobWire {
    fn from(job: JobRecord) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            key: job.unique_key,
            status: job.status.into(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            arguments: job.arguments,
            created_at: rfc3339(job.created_at),
            run_after: rfc3339(job.run_after),
            started_at: job.started_at.map(rfc3339),
            finished_at: job.finished_at.map(rfc3339),
            worker: job.worker,
            error: job.error,
        }
    }
}

/// List jobs, newest first.
#[utoipa::path(
    get, path = "/api/v1/admin/jobs", tag = "admin", operation_id = "adminListJobs",
    params(JobsQuery),
    responses((status = 200, body = Page<JobWire>)), security(("operator" = []))
)]
pub async fn list_jobs(
    api: web::Data<Api>,
    _: Operator,
    query: Query<JobsQuery>,
) -> Result<HttpResponse, Problem> {
    let JobsQuery { status, limit, cursor: position } = query.0;
    let unknown = || Problem::malformed("status", "must be queued, running, done or dead");
    let of = status.map(|name| JobStatus::from_name(&name).ok_or_else(unknown)).transpose()?;
    let owner = of.map_or("", JobStatus::as_str).as_bytes();
    let limit = page_limit(limit)?;
    let position =
        position.map(|it| cursor::decode(&api.accounts, LIST, owner, &it)).transpose()?;
    let position = position.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let (jobs, more) = api.operators.list_jobs(of, position, limit).await?;
    let last = jobs.last().filter(|_| more).map(|job| job.id);
    let page = Page::<JobWire> {
        entries: jobs.into_iter().map(Into::into).collect(),
        next_cursor: last.map(|id| cursor::encode(&api.accounts, LIST, owner, id.as_bytes())),
    };
    Ok(json(StatusCode::OK, &page))
}

/// Retry a dead or waiting job. It becomes due at once, and its number of attempts starts again.
#[utoipa::path(
    post, path = "/api/v1/admin/jobs/{id}/retry", tag = "admin", operation_id = "adminRetryJob",
    params(("id" = Uuid, Path)),
    responses((status = 204)),
    security(("operator" = []))
)]
pub async fn retry_job(
    api: web::Data<Api>,
    _: Operator,
    job: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    match api.operators.retry_job(id(&job, MISSING)?).await? {
        Some(true) => Ok(HttpResponse::NoContent().finish()),
        Some(false) => {
            Err(Problem::new(Code::RequirementNotMet, "Only waiting and dead jobs can be retried."))
        }
        None => Err(Problem::not_found(MISSING)),
    }
}

/// Delete a job. If it is running, its result is discarded.
#[utoipa::path(
    delete, path = "/api/v1/admin/jobs/{id}", tag = "admin", operation_id = "adminDiscardJob",
    params(("id" = Uuid, Path)),
    responses((status = 204)), security(("operator" = []))
)]
pub async fn discard_job(
    api: web::Data<Api>,
    _: Operator,
    job: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    if api.operators.discard_job(id(&job, MISSING)?).await? {
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::not_found(MISSING))
}
