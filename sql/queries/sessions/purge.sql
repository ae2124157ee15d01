-- store::purge::purge_sessions: deletes expired sessions, a limited number at a time.
delete from sessions
where (player_id, session_id) in (
    select player_id, session_id from sessions where expires_at <= $1 limit 1000 for update skip locked
)
