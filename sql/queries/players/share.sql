-- store::players::share_player: waits for a transaction that has locked a player, and prevents others from locking it
-- until the transaction ends.
select from players where player_id = $1 for key share
