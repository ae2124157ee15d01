-- bench/programs/bare_lane: what a click changes of each player, and the revision in its condition.
select player_id, revision, version, energy, lifetime_energy from players
