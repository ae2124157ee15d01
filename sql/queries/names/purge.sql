-- store::names::purge_folded_names: deletes folded forms that do not belong to a player's current display name: those
-- of renamed players, and those of players that were deleted by an earlier release, which does not know this table.
delete from folded_names as name
where not exists (
    select from players as player
    where player.player_id = name.player_id and player.display_name = name.display_name
)
