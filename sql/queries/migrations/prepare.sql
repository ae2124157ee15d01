-- store::migrations: takes a lock, so that one instance at a time migrates until its transaction ends, and creates the
-- table of applied migrations.
set local lock_timeout = 0;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
select set_config('synchronous_commit', 'on', true)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
select pg_advisory_xact_lock(7316220264);
create table if not exists schema_migrations (
    number integer primary key,
    name text not null,
    checksum bytea not null,
    applied_at timestamptz not null default now()
);
