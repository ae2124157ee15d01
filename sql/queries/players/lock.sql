-- store::players::lock: as load.sql, and locks the rows until the transaction ends. Like every statement that writes
-- several players it locks them in player_id order, so that two statements cannot deadlock.
select {{player_columns}}
from players
where player_id = any($1)
order by player_id
for no key update
