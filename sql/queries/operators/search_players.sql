-- store::operators::search_players: players whose id is $1, whose username begins with $2, or whose display name holds
-- $2 (any case), newest first, before $3.
select player_id, display_name, username, created_at, last_seen_at, banned_at
from players
where ($3::uuid is null or player_id < $3)
    and (
        player_id = $1
        or $2 = ''
        or starts_with(username, lower($2))
        or strpos(lower(display_name), lower($2)) > 0
    )
order by player_id desc
limit $4
