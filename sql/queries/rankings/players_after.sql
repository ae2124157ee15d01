-- store::rankings::players_after: the next rows in player_id order, as in players/load.sql.
select {{player_columns}}
from players
where player_id > $1
order by player_id
limit $2
