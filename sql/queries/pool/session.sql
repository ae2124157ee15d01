-- store::Store::new: the settings of a connection. A frozen instance must not keep its locks, and a statement that
-- nobody waits for any more must end.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '3s';
set statement_timeout = '6s';
-- Answered changes must be on disk, whatever the database's default is; a stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
