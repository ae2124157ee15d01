-- store::purge::purge_guests: locks those of some guests that are still idle, so that no other transaction adds data of
-- them. Skips locked rows, because another transaction is changing these guests, so they are no longer idle.
select player_id
from players
where player_id = any($1)
    and username is null and version = 0 and last_seen_at < $2 and created_at < $2
order by player_id
for update skip locked
