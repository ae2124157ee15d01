-- store::purge::purge_sessions: forgets sessions that have lapsed, a bounded number at a time.
delete from sessions
where (player_id, session_id) in (
    select player_id, session_id from sessions where expires_at <= $1 limit 1000 for update skip locked
)
