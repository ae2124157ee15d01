-- store::sessions::end_one: ends a session and tells the instances. The time is the database's, as all revocations' is; $3 takes
-- its place in tests.
with ended as (
    delete from sessions where player_id = $1 and session_id = $2 returning session_id
)
insert into revocations (subject, reason, revoked_at)
select session_id, 'session_ended', coalesce($3::timestamptz, clock_timestamp()) from ended
