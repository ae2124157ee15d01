-- store::purge::find_idle_guests: guests after $1, in the order of ids, who never made a change (version = 0), and were
-- created and last seen before $2.
select player_id
from players
where player_id > $1 and username is null and version = 0 and last_seen_at < $2 and created_at < $2
order by player_id
limit $3
