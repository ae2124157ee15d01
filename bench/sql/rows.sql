-- bench/programs/bare_lane: the columns of each player that a click changes, and the revision.
select player_id, revision, version, energy, lifetime_energy from players
