-- store::players::load: the rows of some players, those that exist.
select {{player_columns}}
from players
where player_id = any($1)
