-- store::notifications::set_muted_types: stores the types that a player has muted, if the player exists.
insert into notification_settings (player_id, muted_types)
select player_id, $2 from players where player_id = $1 for key share
on conflict (player_id) do update set muted_types = excluded.muted_types
