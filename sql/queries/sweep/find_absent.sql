-- store::sweep::find_absent: players after $1, in the order of ids, who were last seen before $2 and have something to
-- settle at $3: they have produced energy since they were settled, or were settled under another catalogue than $4. SQL
-- can settle those that are `plain`: their rate has been constant since they were settled, the produced energy is not
-- too small for a double, no season ends in between, and unseen_energy is finite (capped_sum turns NaN into the largest
-- double).
select player_id,
    catalogue_version = $4
        and energy_per_second >= 1e-290
        and unseen_energy >= 0
        and unseen_energy < 'infinity'
        and season_of(least(accrues_until, $3::timestamptz)) = season as plain
from players
where player_id > $1
    and last_seen_at < $2
    and (
        catalogue_version <> $4
        or (energy_per_second > 0 and settled_at < least(accrues_until, $3::timestamptz))
    )
order by player_id
limit $5
