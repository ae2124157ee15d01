-- store::Store::for_sweep: the settings of the sweep's connection. Its statements are transactions of their own that
-- end within 25 ms or are rolled back, so no player waits much longer for a row.
set statement_timeout = '25ms';
set lock_timeout = '25ms';
set idle_in_transaction_session_timeout = '25ms';
-- Few rows of many, by key.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- Answered changes must be on disk, whatever the database's default is; a stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
