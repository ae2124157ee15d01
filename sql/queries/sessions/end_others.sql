-- store::sessions::end_others: ends all of a player's sessions except $2, and inserts revocations, from which the
-- instances learn of it.
with ended as (
    delete from sessions where player_id = $1 and session_id <> all ($2::uuid[]) returning session_id
),
told as (
    insert into revocations (subject, reason, revoked_at)
    select session_id, 'session_ended', coalesce($3::timestamptz, clock_timestamp()) from ended
)
select session_id from ended
