-- store::jobs::enqueue_job: enqueues a job, unless a job of the same kind with the same key exists.
insert into jobs (job_id, kind, unique_key, arguments, run_after, max_attempts, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict on constraint jobs_unique_key do nothing
