-- store::sweep::settle_plain: settles some players, as domain::Player::settle does, and stores the sweep's progress.
-- Skips locked rows and players who have returned, and does nothing if the job's lease was lost. Does not change
-- last_seen_at, because production stops at a limit after last_seen_at, and a later last_seen_at would extend it.
-- settled_at does not exceed accrues_until, where production ends.
with lease as (
    update jobs set progress = $3 where job_id = $1 and lease_token = $2 returning job_id
),
due as materialized (
    select player_id
    from players
    where player_id = any($4)
        and exists (select from lease)
        and last_seen_at < $5
        and catalogue_version = $7
        and energy_per_second >= 1e-290
        and unseen_energy >= 0
        and unseen_energy < 'infinity'
        and season_of(least(accrues_until, $6::timestamptz)) = season
        and settled_at < least(accrues_until, $6::timestamptz)
    order by player_id
    for no key update skip locked
),
settled as (
    update players as player
    set revision = player.revision + 1,
        energy = capped_sum(player.energy, capped_product(player.energy_per_second,
            extract(epoch from least(player.accrues_until, $6) - player.settled_at)::float8)),
        lifetime_energy = capped_sum(player.lifetime_energy, capped_product(player.energy_per_second,
            extract(epoch from least(player.accrues_until, $6) - player.settled_at)::float8)),
        unseen_energy = capped_sum(player.unseen_energy, capped_product(player.energy_per_second,
            extract(epoch from least(player.accrues_until, $6) - player.settled_at)::float8)),
        settled_at = least(player.accrues_until, $6)
    from due
    where player.player_id = due.player_id
    returning player.player_id, player.settled_at, player.settled_at >= player.accrues_until as has_stopped
),
-- Tells players that their production has stopped. It had not before: those were settled up to that time.
told as (
    insert into outbox (player_id, type, at, data)
    select player_id, 'offline_cap_reached', settled_at, '{}'
    from settled
    where has_stopped
    returning outbox_id
),
signalled as (
    insert into signals (outbox) select true from told limit 1
)
select (select count(*) from settled) as settled from lease
