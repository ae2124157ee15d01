-- store::commit: as commit_clicks.sql, for a batch of one player. If few players are active, most batches contain one
-- player, and without arrays the statement takes a sixth less CPU time of Postgres.
update players
set revision = revision + 1,
    version = $3,
    energy = $4,
    lifetime_energy = $5,
    settled_at = $6,
    last_seen_at = $6,
    accrues_until = $7,
    click_tokens = $8,
    clicks_filled_at = $9,
    unseen_energy = 0
where player_id = $1
    and revision = $2
returning player_id
