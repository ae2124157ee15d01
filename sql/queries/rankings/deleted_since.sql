-- store::rankings::deleted_since: who was deleted lately.
select player_id from deleted_players where deleted_at >= $1
