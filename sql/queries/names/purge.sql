-- store::names::purge_folded_names: forgets names of players who are gone, as a release that does not know this table may have
-- deleted them.
delete from folded_names as name
where not exists (select from players as player where player.player_id = name.player_id)
