-- store::Store::for_lane: on a lane's connections statements walk the batch in its order and look each row up by its
-- key. With that plan rows are locked in player_id order, so two batches never wait for each other, and the plan need
-- not be made for each batch.
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_seqscan = off;
set plan_cache_mode = force_generic_plan;
-- A row that another transaction has locked delays the other rows of the batch once, by this time; its player then
-- waits separately (lanes::held). It is longer than a statement of the sweep, which ends after 25 ms.
set lock_timeout = '30ms';
set idle_in_transaction_session_timeout = '10s';
set statement_timeout = '6s';
-- Answered changes must be on disk, whatever the database's default is; a stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
