-- store::jobs::hand_back_job: puts a job back that was begun and not failed, for somebody else to go on with at once.
update jobs
set status = 'queued', attempt = attempt - 1, lease_token = null, lease_expires_at = null
where job_id = $1 and lease_token = $2
