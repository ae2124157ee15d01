-- store::operators::set_banned: bans ($2 true) or unbans a player, and inserts an audit entry and a revocation, from
-- which the instances learn of the change. Returns the number of the revocation. Does nothing and returns no row if the
-- player has that state already.
with player as (
    update players
    set banned_at = case when $2 then coalesce($3::timestamptz, clock_timestamp()) end, revision = revision + 1
    where player_id = $1 and (banned_at is not null) <> $2
    returning player_id
),
told as (
    insert into revocations (subject, reason, revoked_at)
    select player_id, case when $2 then 'player_banned' else 'player_unbanned' end,
        coalesce($3::timestamptz, clock_timestamp())
    from player
    returning revocation_id
),
audited as (
    insert into audit_log (at, action, player_id, detail)
    select coalesce($3::timestamptz, clock_timestamp()), case when $2 then 'ban' else 'unban' end, player_id, $4
    from player
)
select revocation_id from told
