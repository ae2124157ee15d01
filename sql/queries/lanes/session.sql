-- store::Store::for_lane: a lane's connections walk the batch in its order and look each row up by its key. That is the
-- plan that locks rows in player_id order, so that two batches never wait for each other, and it need not be made anew
-- for each batch.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- A row that another transaction holds stops the others of the batch once, for as long as this; its player then waits apart
-- (game::held). A sweep, which ends its statements after 25 ms, is waited for.
set lock_timeout = '30ms';
set idle_in_transaction_session_timeout = '10s';
set statement_timeout = '6s';
-- What is answered must be on disk, whatever the database's default is; a stronger one stays.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
