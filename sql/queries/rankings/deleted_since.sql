-- store::rankings::deleted_since: players who were deleted recently.
select player_id from deleted_players where deleted_at >= $1
