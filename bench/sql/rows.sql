-- bench/programs/bare_lane: what a click changes of each player, and what guards it.
select player_id, revision, version, energy, lifetime_energy from players
