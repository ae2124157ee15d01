-- store::notifications::muted_types: the types that a player has muted.
select muted_types from notification_settings where player_id = $1
