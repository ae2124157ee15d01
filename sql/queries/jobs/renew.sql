-- store::jobs::renew_lease: extends a lease. Does nothing if the lease was lost.
update jobs
set lease_expires_at = clock_timestamp() + $3 * interval '1 second'
where job_id = $1 and lease_token = $2
