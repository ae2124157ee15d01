-- store::players::load_one: as load.sql, for one player. For an array Postgres makes a new plan each time, because the
-- length matters; this plan is made once.
select {{player_columns}}
from players
where player_id = $1
