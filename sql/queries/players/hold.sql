-- store::players::hold_player: waits for whoever is writing a player, or something of its, and lets nobody else until the
-- transaction ends.
select from players where player_id = $1 for update
