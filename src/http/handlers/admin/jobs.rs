//! Looking at jobs, and what operators do about those that failed.

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

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only those of this status; all where absent.
    #[serde(default)]
    #[param(value_type = Option<JobStatusWire>)]
    status: Option<String>,
    /// Jobs at most.
    #[serde(default, deserialize_with = "read_parameter")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<usize>,
    /// The `next_cursor` of the part before.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

/// How a job fares. Of one that is `dead` the last attempt has failed.
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
    /// Of one kind there is never more than one job of a key; of a scheduled one it is its turn.
    #[schema(example = "2026-11-21T10:00:00Z")]
    key: String,
    status: JobStatusWire,
    /// Which attempt was begun last.
    attempt: i32,
    max_attempts: i32,
    /// What it was enqueued with.
    #[schema(value_type = Object)]
    arguments: Value,
    #[schema(format = DateTime)]
    created_at: String,
    /// It does not run before.
    #[schema(format = DateTime)]
    run_after: String,
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// Who began it last.
    #[schema(required)]
    worker: Option<String>,
    /// Why it failed last.
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
    get, path = "/api/v1/admin/jobs", tag = "admin", operation_id = "adminListJobs", params(JobsQuery),
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
    let position = position.map(|it| cursor::decode(&api, LIST, owner, &it)).transpose()?;
    let position = position.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let (jobs, more) = api.operators.list_jobs(of, position, limit).await?;
    let last = jobs.last().filter(|_| more).map(|job| job.id);
    let page = Page::<JobWire> {
        entries: jobs.into_iter().map(Into::into).collect(),
        next_cursor: last.map(|id| cursor::encode(&api, LIST, owner, id.as_bytes())),
    };
    Ok(json(StatusCode::OK, &page))
}

/// Let a dead letter, or a job that waits, run at once with all its attempts.
#[utoipa::path(
    post, path = "/api/v1/admin/jobs/{id}/retry", tag = "admin", operation_id = "adminRetryJob", params(("id" = Uuid, Path)),
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
            Err(Problem::new(Code::RequirementNotMet, "The job runs, or is done already."))
        }
        None => Err(Problem::not_found(MISSING)),
    }
}

/// Remove a job; nothing comes of one that runs.
#[utoipa::path(
    delete, path = "/api/v1/admin/jobs/{id}", tag = "admin", operation_id = "adminDiscardJob", params(("id" = Uuid, Path)),
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
