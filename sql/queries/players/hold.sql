-- store::players::hold_player: waits until nobody writes the player or rows that belong to it, and locks it until the
-- transaction ends.
select from players where player_id = $1 for update
