-- store::notifications::set_muted_types: stores the types that a player has muted.
insert into notification_settings (player_id, muted_types)
values ($1, $2)
on conflict (player_id) do update set muted_types = excluded.muted_types
