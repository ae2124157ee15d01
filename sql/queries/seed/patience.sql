-- store::seed::copy_players: twenty thousand rows may take longer than a request would wait.
set local statement_timeout = '2min';
-- Behind a pooler the session has no settings of ours.
select set_config('synchronous_commit', 'on', true)
where current_setting('synchronous_commit') in ('off', 'local', 'remote_write');
