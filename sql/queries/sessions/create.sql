-- store::sessions::create_session: inserts a further session of a player who exists and is not banned. If a password
-- was verified, its hash is $8 and must still be the stored one. A player who has sessions, none of which is of a client
-- like this one, gets a notification of the sign-in.
with created as (
    insert into sessions (
        player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at, user_agent
    )
    select player.player_id, $2, $3, $4, $5, $5, $6, $7
    from players as player
    where player.player_id = $1
        and player.banned_at is null
        and (
            $8::text is null
            or exists (
                select from accounts as account where account.player_id = $1 and account.password_hash = $8
            )
        )
    -- Waits for a concurrent deletion of the player, which would otherwise not delete this session.
    for key share of player
    returning player_id, session_id, created_at
),
told as (
    insert into outbox (player_id, type, at, data)
    select player_id, 'new_sign_in', created_at, jsonb_build_object('session_id', session_id)
    from created
    where exists (select from sessions as other where other.player_id = $1 and other.expires_at > $5)
        and not exists (
            select from sessions as other
            where other.player_id = $1 and other.expires_at > $5 and other.user_agent is not distinct from $7
        )
    returning outbox_id
),
signalled as (
    insert into signals (outbox) select true from told limit 1
)
select session_id from created
