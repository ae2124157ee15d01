-- store::jobs::finish_job: marks a job as done. Does nothing if the lease was lost.
update jobs
set status = 'done', finished_at = $3, progress = null, error = null,
    lease_token = null, lease_expires_at = null
where job_id = $1 and lease_token = $2
