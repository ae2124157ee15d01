-- store::jobs::finish_job: notes that a job is done, if its lease still holds.
update jobs
set status = 'done', finished_at = $3, progress = null, error = null,
    lease_token = null, lease_expires_at = null
where job_id = $1 and lease_token = $2
