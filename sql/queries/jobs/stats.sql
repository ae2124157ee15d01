-- store::jobs::job_stats: the earliest time at which a waiting job became due, and the number of dead letters.
select
    (select min(run_after) from jobs where status = 'queued' and run_after <= $1) as oldest_due,
    (select count(*) from jobs where status = 'dead') as dead
