-- store::players::load_one: as load.sql, for one player. Of an array Postgres makes a plan anew each time, as it hopes to
-- gain by knowing how long it is; this plan is made once.
select {{player_columns}}
from players
where player_id = $1
