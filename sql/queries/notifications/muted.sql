-- store::notifications::muted_by: the types that some players have muted.
select player_id, muted_types from notification_settings where player_id = any($1)
