-- store::jobs::hand_back_job: requeues a job that was begun and has not failed, so that another worker continues at
-- once.
update jobs
set status = 'queued', attempt = attempt - 1, lease_token = null, lease_expires_at = null
where job_id = $1 and lease_token = $2
