-- store::purge::purge_guests: those of some guests that are still idle, locked so that nothing is added to them. A
-- guest whose row is locked is not idle any more.
select player_id
from players
where player_id = any($1)
    and username is null and version = 0 and last_seen_at < $2 and created_at < $2
order by player_id
for update skip locked
