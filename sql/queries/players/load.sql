-- store::players::load: the rows of those of some players that exist.
select {{player_columns}}
from players
where player_id = any($1)
