-- store::Store::for_sweep: what the sweep's connection begins with. It settles in statements that are transactions of their
-- own and end in 25 ms or leave no trace, so no player waits much longer for a row.
set statement_timeout = '25ms';
set lock_timeout = '25ms';
set idle_in_transaction_session_timeout = '25ms';
-- Few rows of many, by key.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- What is answered must be on disk, whatever the database's default is; a stronger one stays.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
