-- store::players::share_player: waits for whoever holds a player, and lets nobody hold it until the transaction ends.
select from players where player_id = $1 for key share
