-- store::Store::for_lane: the settings of a lane's connection. They make Postgres process the batch in its order and
-- look up each row by its key. With that plan rows are locked in player_id order, so batches cannot deadlock. The
-- generic plan is made once and not for each batch.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- A row that another transaction has locked delays the other rows of the batch once, by this time. After that, its
-- player waits separately (lanes::held). The time is longer than a statement of the sweep, which ends after 25 ms.
set lock_timeout = '30ms';
set idle_in_transaction_session_timeout = '10s';
set statement_timeout = '6s';
-- Changes that were answered must be on disk, whatever the database's default is. A stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
