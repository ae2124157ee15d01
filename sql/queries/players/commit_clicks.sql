-- store::commit: as commit.sql, for a batch that contains only clicks and presence. It writes only what such a batch
-- can change, which makes the statement about half as expensive.
update players as player
set revision = player.revision + 1,
    version = change.version,
    energy = change.energy,
    lifetime_energy = change.lifetime_energy,
    settled_at = change.seen_at,
    last_seen_at = change.seen_at,
    accrues_until = change.accrues_until,
    click_tokens = change.click_tokens,
    clicks_filled_at = change.clicks_filled_at,
    unseen_energy = 0
from (
    select unnest($1::uuid[]) as player_id, unnest($2::bigint[]) as expected_revision,
        unnest($3::bigint[]) as version, unnest($4::float8[]) as energy,
        unnest($5::float8[]) as lifetime_energy, unnest($6::timestamptz[]) as seen_at,
        unnest($7::timestamptz[]) as accrues_until, unnest($8::float8[]) as click_tokens,
        unnest($9::timestamptz[]) as clicks_filled_at
) as change
where player.player_id = change.player_id
    and player.revision = change.expected_revision
returning player.player_id
