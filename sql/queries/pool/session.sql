-- store::Store::new: the settings of a connection. An instance that is frozen must not keep its locks, and a statement
-- must end soon after its client has given up waiting.
set idle_in_transaction_session_timeout = '10s';
set lock_timeout = '3s';
set statement_timeout = '6s';
-- Changes that were answered must be on disk, whatever the database's default is. A stronger default is kept.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
