-- store::sessions::find: one session, and whether its player is banned.
select session.session_id, session.chain_key, session.refresh_hash, session.generation,
    session.created_at, session.rotated_at, session.expires_at, session.user_agent,
    player.banned_at is not null as banned
from sessions as session
join players as player on player.player_id = session.player_id
where session.player_id = $1 and session.session_id = $2
