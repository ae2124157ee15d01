-- store::sessions::end_one: ends a session and inserts a revocation, from which the instances learn of it. The time of
-- revocations is the database's time; in tests $3 replaces it.
with ended as (
    delete from sessions where player_id = $1 and session_id = $2 returning session_id
)
insert into revocations (subject, reason, revoked_at)
select session_id, 'session_ended', coalesce($3::timestamptz, clock_timestamp()) from ended
