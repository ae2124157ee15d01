-- store::names::note_folded_names: stores $3 as the folded forms of the display names $2 of the players $1. Skips
-- players who have been renamed or deleted. The lock prevents players from being deleted before the commit.
insert into folded_names (player_id, display_name, folded)
select player.player_id, name.display_name, name.folded
from unnest($1::uuid[], $2::text[], $3::text[]) as name (player_id, display_name, folded)
join players as player using (player_id, display_name)
order by player.player_id
for key share of player
on conflict (player_id) do update set display_name = excluded.display_name, folded = excluded.folded
