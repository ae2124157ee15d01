-- store::names::purge_folded_names: deletes names that nobody has any more: those of renamed players, and those of
-- players whom a release that does not know this table has deleted.
delete from folded_names as name
where not exists (
    select from players as player
    where player.player_id = name.player_id and player.display_name = name.display_name
)
