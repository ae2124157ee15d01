-- store::players::lock: as load.sql, locking the rows until the transaction ends. Like every statement over several
-- players it locks in player_id order, so that two of them never wait for each other.
select {{player_columns}}
from players
where player_id = any($1)
order by player_id
for no key update
