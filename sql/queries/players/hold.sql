-- store::players::hold_player: waits for transactions that write the player or rows that belong to it, and locks the
-- player until the transaction ends.
select from players where player_id = $1 for update
