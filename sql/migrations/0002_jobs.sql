-- Work that is done off the request path. A row is a job; finished ones stay for a day, dead letters until somebody
-- looks at them.
create table jobs (
    job_id uuid primary key,
    kind text not null,
    -- Whatever enqueues the same job several times, as every instance does at each turn of a schedule, enqueues it once.
    unique_key text not null,
    arguments jsonb not null default '{}',
    -- queued | running | done | dead
    status text not null default 'queued',
    -- How far a job of several steps has come.
    progress jsonb,
    -- How often it has been begun since it was queued or retried by hand.
    attempt integer not null default 0,
    max_attempts integer not null,
    run_after timestamptz not null,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    -- Whoever has the token may finish the job: until the lease lapses nobody else may take it. Leases go by the
    -- database's own clock, all other times by the servers', which follow it.
    worker text,
    lease_token uuid,
    lease_expires_at timestamptz,
    error text,
    constraint jobs_unique_key unique (kind, unique_key)
);
create index jobs_queued on jobs (run_after) where status = 'queued';
create index jobs_running on jobs (lease_expires_at) where status = 'running';
create index jobs_done on jobs (finished_at) where status = 'done';
create index jobs_dead on jobs (job_id) where status = 'dead';

-- The last turn of each schedule that was enqueued. Turns only go forward, whatever becomes of the jobs' rows.
create table job_schedules (
    kind text primary key,
    slot timestamptz not null
);

-- Sums and products of amounts as the rules have them: they end at the largest double instead of failing. Neither
-- argument is negative.
create function capped_sum(a double precision, b double precision) returns double precision
language sql immutable parallel safe
return case when a < 1.7976931348623157e308 - b then a + b else 1.7976931348623157e308 end;

create function capped_product(a double precision, b double precision) returns double precision
language sql immutable parallel safe
return case when b <= 1 or a < 1.7976931348623157e308 / b then a * b else 1.7976931348623157e308 end;
