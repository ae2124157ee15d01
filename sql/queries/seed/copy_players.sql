-- store::seed::copy_players: inserts many players at once.
copy players (player_id, created_at, {{written_columns}})
from stdin (format binary)
