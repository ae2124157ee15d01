-- store::accounts::create_guest: inserts a player without a username, and its first session.
with player as (
    insert into players (
        player_id, energy, lifetime_energy, settled_at, last_seen_at, accrues_until,
        click_tokens, clicks_filled_at, catalogue_version, display_name, created_at, season
    )
    values ($1, 0, 0, $2, $2, $3, $4, $2, $5, $6, $2, season_of($2))
    returning player_id
)
insert into sessions (
    player_id, session_id, chain_key, refresh_hash, created_at, rotated_at, expires_at, user_agent
)
select player_id, $7, $8, $9, $2, $2, $10, $11 from player
