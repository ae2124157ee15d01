-- store::sessions::rotate: replaces the hash of the presented refresh token ($3) by the hash of the next one ($4),
-- unless another request has replaced it already.
update sessions
set refresh_hash = $4, generation = generation + 1, rotated_at = $5, expires_at = $6
where player_id = $1 and session_id = $2 and refresh_hash = $3
