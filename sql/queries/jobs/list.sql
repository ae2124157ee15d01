-- store::jobs::list_jobs: jobs with a status, or all, with ids below $2, newest first.
select job_id, kind, unique_key, arguments, status, progress, attempt, max_attempts, run_after,
    created_at, started_at, finished_at, worker, error
from jobs
where ($1::text is null or status = $1) and ($2::uuid is null or job_id < $2)
order by job_id desc
limit $3
