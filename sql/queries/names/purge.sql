-- store::names::purge_folded_names: forgets names that nobody has any more: of players who were renamed, and of those who are gone, as
-- a release that does not know this table may have deleted them.
delete from folded_names as name
where not exists (
    select from players as player
    where player.player_id = name.player_id and player.display_name = name.display_name
)
