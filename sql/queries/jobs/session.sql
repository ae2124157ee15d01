-- store::Store::for_jobs: the settings of a job's connection. A statement of a job may take long, but it does not wait
-- long for a lock, and a frozen instance does not keep its locks.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '2s';
set statement_timeout = '125s';
-- Answered changes must be on disk, whatever the database's default is; a stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
