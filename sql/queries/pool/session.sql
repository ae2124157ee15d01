-- store::Store::new: what a connection begins with. An instance that freezes in a transaction must not hold its locks for
-- ever, and a statement that nobody waits for any more must not go on.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '3s';
set statement_timeout = '6s';
-- What is answered must be on disk, whatever the database's default is; a stronger one stays.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
