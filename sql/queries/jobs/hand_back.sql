-- store::jobs::hand_back_job: requeues a job that was claimed and has not failed, so that another worker can continue
-- it at once. The attempt is not counted.
update jobs
set status = 'queued', attempt = attempt - 1, lease_token = null, lease_expires_at = null
where job_id = $1 and lease_token = $2
