-- store::players::deletion: the hash of the idempotency key of the request that deleted a player, if it had a key.
select idempotency_key_hash from deleted_players where player_id = $1
