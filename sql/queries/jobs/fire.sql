-- store::jobs::fire_schedule: enqueues the job for a schedule's time ($5), unless a job for that time or a later one
-- was enqueued before.
with turn as (
    insert into job_schedules as schedule (kind, slot)
    values ($2, $5)
    on conflict (kind) do update set slot = excluded.slot
    where schedule.slot < excluded.slot
    returning kind
)
insert into jobs (job_id, kind, unique_key, arguments, run_after, max_attempts, created_at)
select $1, kind, $3, $4, $6, $7, $8 from turn
on conflict on constraint jobs_unique_key do nothing
