-- store::players::deletion: the hash of the idempotency key with which a player was deleted, if there was one.
select idempotency_key_hash from deleted_players where player_id = $1
