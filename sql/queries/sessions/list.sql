-- store::sessions::list: a player's sessions that have not expired, newest first.
select session_id, created_at, rotated_at, expires_at, user_agent
from sessions
where player_id = $1 and expires_at > $2
order by session_id desc
