-- store::operators::search_players: players whose id is $1, whose username begins with $2, or whose folded display name
-- contains $3, newest first, with ids below $4. With the C collation, `lower` changes only ASCII letters, whatever the
-- database's locale is.
select player.player_id, player.display_name, player.username, player.created_at, player.last_seen_at, player.banned_at
from players as player
left join folded_names as name using (player_id, display_name)
where ($4::uuid is null or player.player_id < $4)
    and (
        player.player_id = $1
        or $3 = ''
        or starts_with(player.username, $2)
        or strpos(coalesce(name.folded, lower(player.display_name collate "C")) collate "C", $3) > 0
    )
order by player.player_id desc
limit $5
