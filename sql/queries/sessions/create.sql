-- store::sessions::create: a further session of a player who exists and is not banned.
insert into sessions (
    player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at, user_agent
)
select player_id, $2, $3, $4, $5, $5, $6, $7
from players
where player_id = $1 and banned_at is null
-- A deletion waits for it or goes first; else it would leave this session behind.
for key share
returning session_id
