-- store::names::find_unfolded_names: players after $1, in the order of ids, whose display name contains characters
-- beyond ASCII and has no folded form. For ASCII names the search uses `lower` instead.
select player.player_id, player.display_name
from players as player
left join folded_names as name using (player_id)
where player.player_id > $1
    and octet_length(player.display_name) > char_length(player.display_name)
    and name.display_name is distinct from player.display_name
order by player.player_id
limit $2
