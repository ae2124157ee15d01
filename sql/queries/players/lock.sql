-- store::players::lock: as load, and nobody else writes them until the transaction ends. Locks in player_id order, as
-- every statement over several players does, so that no two of them wait for each other.
select {{player_columns}}
from players
where player_id = any($1)
order by player_id
for no key update
