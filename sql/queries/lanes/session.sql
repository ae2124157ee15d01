-- store::Store::for_lane: a lane's connections walk the batch in its order and look each row up by its key. That is the
-- plan that locks rows in player_id order, so that two batches never wait for each other, and it need not be made anew
-- for each batch.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- A row that somebody else holds stops its own player, and the others of the batch only for a moment.
set lock_timeout = '500ms';
set idle_in_transaction_session_timeout = '10s';
set statement_timeout = '6s';
-- What is answered must be on disk, whatever the database's default is; a stronger one stays.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
