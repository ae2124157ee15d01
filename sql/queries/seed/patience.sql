-- store::seed::copy_players: twenty thousand rows may take longer than a request would wait.
set local statement_timeout = '2min';
-- Behind a pooler the session does not have our settings.
select set_config('synchronous_commit', 'on', true)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
