-- store::jobs::fail_job: requeues a failed job to run at $3, or makes it a dead letter if this was its last attempt.
-- Does nothing if the lease was lost.
update jobs
set status = case when attempt < max_attempts then 'queued' else 'dead' end,
    finished_at = case when attempt < max_attempts then null else $4::timestamptz end,
    run_after = $3,
    error = $5,
    lease_token = null,
    lease_expires_at = null
where job_id = $1 and lease_token = $2
returning status
