-- store::accounts::create_registered: inserts a player with a username, and its first session. If the username is
-- taken, this violates usernames_pkey.
with player as (
    insert into players (
        player_id, energy, lifetime_energy, settled_at, last_seen_at, accrues_until,
        click_tokens, clicks_filled_at, catalogue_version, display_name, created_at, season, username
    )
    values ($1, 0, 0, $2, $2, $3, $4, $2, $5, $6, $2, season_of($2), $12)
    returning player_id, username
),
name as (
    insert into usernames (username, player_id) select username, player_id from player
),
account as (
    insert into accounts (player_id, username, password_hash, created_at, password_changed_at)
    select player_id, username, $13, $2, $2 from player
)
insert into sessions (
    player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at, user_agent
)
select player_id, $7, $8, $9, $2, $2, $10, $11 from player
