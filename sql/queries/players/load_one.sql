-- store::players::load_one: as load.sql, for one player. For a parameter that is an array, Postgres plans each
-- execution, because the plan depends on the array's length. This statement is planned once.
select {{player_columns}}
from players
where player_id = $1
