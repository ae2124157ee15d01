-- store::players::load: the rows of some players, as far as they exist.
select {{player_columns}}
from players
where player_id = any($1)
