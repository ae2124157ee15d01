-- store::seed::copy_players: twenty thousand rows may take longer than a request would wait.
set local statement_timeout = '2min';
