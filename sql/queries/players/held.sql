-- store::players::held_players: those of some players whose rows somebody else holds at this moment.
with free as (
    select player_id
    from players
    where player_id = any($1)
    order by player_id
    for no key update skip locked
)
select player_id
from players
where player_id = any($1)
    and (player_id in (select player_id from free)) is not true
