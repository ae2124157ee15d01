-- store::players::deletion: the hash of the idempotency key that deleted a player, where there was one.
select idempotency_key_hash from deleted_players where player_id = $1
