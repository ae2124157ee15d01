-- store::jobs::trim_jobs: deletes jobs that were done before $1, a limited number at a time.
delete from jobs
where job_id in (
    select job_id from jobs where status = 'done' and finished_at < $1 limit 1000 for update skip locked
)
