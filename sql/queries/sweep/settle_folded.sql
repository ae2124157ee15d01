-- store::sweep::settle_folded: as settle_plain.sql, for players that were settled by the rules in `domain`. Writes a
-- player only if its row still has the given revision, and with it the final scores of the seasons that it has left.
-- `is true` makes `in` use a hash lookup, as in players/commit.sql.
with lease as (
    update jobs set progress = $3 where job_id = $1 and lease_token = $2 returning job_id
),
change as (
    select *
    from unnest(
        $4::uuid[], $5::bigint[], $6::float8[], $7::float8[], $8::float8[], $9::timestamptz[],
        $10::timestamptz[], $11::float8[], $12::bigint[], $13::bigint[], $14::float8[]
    ) as change (
        player_id, expected_revision, energy, lifetime_energy, unseen_energy, settled_at,
        accrues_until, energy_per_second, catalogue_version, season, season_base
    )
),
due as materialized (
    select player.player_id,
        player.energy_per_second > 0 and player.settled_at < player.accrues_until as was_producing
    from players as player
    join change using (player_id)
    where player.revision = change.expected_revision and exists (select from lease)
    order by player.player_id
    for no key update of player skip locked
),
settled as (
    update players as player
    set revision = player.revision + 1,
        energy = change.energy,
        lifetime_energy = change.lifetime_energy,
        unseen_energy = change.unseen_energy,
        settled_at = change.settled_at,
        accrues_until = change.accrues_until,
        energy_per_second = change.energy_per_second,
        catalogue_version = change.catalogue_version,
        season = change.season,
        season_base = change.season_base
    from change
    where player.player_id = change.player_id
        and (player.player_id in (select player_id from due)) is true
    returning player.player_id, player.settled_at, player.settled_at >= player.accrues_until as has_stopped
),
finished as (
    insert into season_scores (player_id, season, score)
    select player_id, final.season, score
    from unnest($15::uuid[], $16::bigint[], $17::float8[]) as final (player_id, season, score)
    where (player_id in (select player_id from settled)) is true
    -- The final standings of such a season are stored and do not change.
    and not exists (
        select from seasons where seasons.season = final.season and seasons.frozen_at is not null
    )
    on conflict (player_id, season) do nothing
),
-- Tells players that their production has stopped. Not those whose production had stopped before, who are settled again
-- under a new catalogue.
told as (
    insert into outbox (player_id, type, at, data)
    select player_id, 'offline_cap_reached', settled_at, '{}'
    from settled
    join due using (player_id)
    where has_stopped and was_producing
    returning outbox_id
),
signalled as (
    insert into signals (outbox) select true from told limit 1
)
select (select count(*) from settled) as settled from lease
