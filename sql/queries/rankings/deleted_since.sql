-- store::rankings::deleted_since: the players who were deleted at or after $1.
select player_id from deleted_players where deleted_at >= $1
