-- store::Store::for_sweep: the settings of the sweep's connection. Each statement is its own transaction and is rolled
-- back after 25 ms, so a player's request does not wait much longer than that for a row.
set statement_timeout = '25ms';
set lock_timeout = '25ms';
set idle_in_transaction_session_timeout = '25ms';
-- Each statement finds few of many rows by their key, so only nested loops over an index are fast.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- Changes that were answered must be on disk, whatever the database's default is. A stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
