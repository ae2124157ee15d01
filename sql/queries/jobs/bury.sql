-- store::jobs::bury_lapsed: turns jobs whose lease expired in their last attempt, because the worker crashed or
-- stalled, into dead letters.
update jobs
set status = 'dead',
    finished_at = $1,
    error = 'the worker ' || coalesce(worker, '') || ' died, or stalled past its lease, in the last attempt',
    lease_token = null,
    lease_expires_at = null
where status = 'running' and lease_expires_at <= clock_timestamp() and attempt >= max_attempts
returning kind
