-- store::seed::copy_players: raises the time-out, because copying twenty thousand rows takes long.
set local statement_timeout = '2min';
-- Behind a pooler the session does not have the settings of pool/session.sql.
select set_config('synchronous_commit', 'on', true)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
