-- store::purge::purge_guests: those of some guests that are still idle, held so that nothing is added to them. One that
-- somebody is just writing is no longer idle.
select player_id
from players
where player_id = any($1)
    and username is null and version = 0 and last_seen_at < $2 and created_at < $2
order by player_id
for update skip locked
