-- store::jobs::fail_job: puts a job that failed back until $3, or among the dead letters after its last attempt, if its
-- lease still holds.
update jobs
set status = case when attempt < max_attempts then 'queued' else 'dead' end,
    finished_at = case when attempt < max_attempts then null else $4::timestamptz end,
    run_after = $3,
    error = $5,
    lease_token = null,
    lease_expires_at = null
where job_id = $1 and lease_token = $2
returning status
