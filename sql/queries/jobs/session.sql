-- store::Store::for_jobs: what a job's connection begins with. A statement of a job may take long, but none waits long for
-- a lock, and an instance that freezes in a transaction does not hold its locks for ever.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '2s';
set statement_timeout = '125s';
-- What is answered must be on disk, whatever the database's default is; a stronger one stays.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
