-- bench/programs/bench_players: inserts the players $1 with the inventory $3, who began and were settled at $2.
insert into players (
    player_id, energy, lifetime_energy, settled_at, last_seen_at, accrues_until, click_tokens,
    clicks_filled_at, energy_per_second, catalogue_version, inventory, display_name, created_at
)
select player_id, 1e6, 1e6, $2, $2, $2::timestamptz + interval '8 hours', 40, $2, 10, 1, $3,
    'Player ' || number, $2
from unnest($1::uuid[]) with ordinality as player (player_id, number)
