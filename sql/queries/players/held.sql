-- store::players::held_players: those of some players whose rows other transactions have locked. This locks the other
-- rows until the statement ends. Nothing is changed, so with synchronous_commit off the statement does not wait until
-- the write-ahead log is flushed.
with free as (
    select player_id
    from players
    cross join set_config('synchronous_commit', 'off', true)
    where player_id = any($1)
    order by player_id
    for no key update of players skip locked
)
select player_id
from players
where player_id = any($1)
    and (player_id in (select player_id from free)) is not true
