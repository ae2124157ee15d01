-- store::Store::for_jobs: the settings of a job's connection. A statement of a job may take long, but must not wait
-- long for a lock, and an instance that is frozen must not keep its locks.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '2s';
set statement_timeout = '125s';
-- Changes that were answered must be on disk, whatever the database's default is. A stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
