-- store::jobs::job_stats: since when the oldest due job has waited, and the number of dead letters.
select
    (select min(run_after) from jobs where status = 'queued' and run_after <= $1) as oldest_due,
    (select count(*) from jobs where status = 'dead') as dead
