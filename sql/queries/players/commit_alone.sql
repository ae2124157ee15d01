-- store::commit: as commit.sql, for a batch without ledger entries and idempotency records, which most batches of clicks
-- are: half the statement, and half the planning.
with change as (
    select *
    from unnest(
        $1::uuid[], $2::bigint[], $3::bigint[], $4::float8[], $5::float8[], $6::timestamptz[],
        $7::timestamptz[], $8::timestamptz[], $9::float8[], $10::timestamptz[], $11::float8[],
        $12::float8[], $13::float8[], $14::float8[], $15::float8[], $16::timestamptz[],
        $17::float8[], $18::bigint[], $19::float8[], $20::jsonb[], $21::text[]
    ) as change (
        player_id, expected_revision, version, energy, lifetime_energy, settled_at,
        last_seen_at, accrues_until, click_tokens, clicks_filled_at, unseen_energy,
        ledger_balance, away_seconds, away_credited_seconds, away_energy, away_ended_at,
        energy_per_second, catalogue_version, cores, inventory, display_name
    )
)
update players as player
set revision = player.revision + 1,
    version = change.version,
    energy = change.energy,
    lifetime_energy = change.lifetime_energy,
    settled_at = change.settled_at,
    last_seen_at = change.last_seen_at,
    accrues_until = change.accrues_until,
    click_tokens = change.click_tokens,
    clicks_filled_at = change.clicks_filled_at,
    unseen_energy = change.unseen_energy,
    ledger_balance = change.ledger_balance,
    away_seconds = change.away_seconds,
    away_credited_seconds = change.away_credited_seconds,
    away_energy = change.away_energy,
    away_ended_at = change.away_ended_at,
    energy_per_second = change.energy_per_second,
    catalogue_version = change.catalogue_version,
    cores = change.cores,
    inventory = coalesce(change.inventory, player.inventory),
    display_name = coalesce(change.display_name, player.display_name)
from change
where player.player_id = change.player_id
    and player.revision = change.expected_revision
returning player.player_id
