-- store::sessions::end_one: ends a session and tells the instances.
with ended as (
    delete from sessions where player_id = $1 and session_id = $2 returning session_id
)
insert into revocations (subject, reason, revoked_at)
select session_id, 'session_ended', $3 from ended
