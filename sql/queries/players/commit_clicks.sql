-- store::commit: as commit.sql, for a batch in which nobody does more than click or be there: everything that such a
-- batch cannot change is left out, which makes the statement about half as dear.
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
from unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::float8[], $5::float8[], $6::timestamptz[],
    $7::timestamptz[], $8::float8[], $9::timestamptz[]
) as change (
    player_id, expected_revision, version, energy, lifetime_energy, seen_at, accrues_until,
    click_tokens, clicks_filled_at
)
where player.player_id = change.player_id
    and player.revision = change.expected_revision
returning player.player_id
