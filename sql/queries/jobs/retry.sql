-- store::jobs::retry_job: makes a dead letter or a waiting job due now, resets its number of attempts, and inserts an
-- audit entry. Returns no row if the job does not exist, otherwise whether its status allowed this.
with job as (
    select job_id, kind, unique_key, status from jobs where job_id = $1 for no key update
),
retried as (
    update jobs
    set status = 'queued', attempt = 0, run_after = $2, finished_at = null
    from job
    where jobs.job_id = job.job_id and job.status in ('queued', 'dead')
    returning jobs.job_id
),
audited as (
    insert into audit_log (at, action, detail)
    select $2, 'retry_job', jsonb_build_object('job_id', job_id, 'kind', kind, 'key', unique_key)
    from job join retried using (job_id)
)
select exists (select from retried) as retried from job
