-- store::jobs::claim_job: of the jobs of some kinds, claims the one that has been due for the longest time and is
-- queued or has an expired lease. Concurrent callers get different jobs.
with due as (
    select job_id
    from jobs
    where kind = any($1)
        and (
            (status = 'queued' and run_after <= $2)
            or (
                status = 'running'
                and lease_expires_at <= clock_timestamp()
                and attempt < max_attempts
            )
        )
    order by run_after, job_id
    limit 1
    for no key update skip locked
)
update jobs as job
set status = 'running',
    attempt = job.attempt + 1,
    started_at = $2,
    worker = $3,
    lease_token = $4,
    lease_expires_at = clock_timestamp() + $5 * interval '1 second'
from due
where job.job_id = due.job_id
returning job.job_id, job.kind, job.arguments, job.progress, job.attempt
